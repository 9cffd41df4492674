//! Commands that were written for a shell and executed without one: seen in the argument list alone.

use super::Refinement;
use crate::{
    Cause, NextStep,
    facts::{Facts, InstanceFacts},
    words,
};

const OPERATORS: [&str; 9] = ["&&", "||", "|", ";", ">", ">>", "<", "2>&1", "&"];
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "busybox", "fish"];

/// Shell syntax among the arguments of a program that is no shell.
pub(super) fn without_shell(facts: &Facts, instance: &InstanceFacts) -> Option<Refinement> {
    let argv = &instance.command.argv;
    let program = argv.first()?.rsplit('/').next()?;
    if argv
        .iter()
        .any(|word| SHELLS.contains(&word.rsplit('/').next().unwrap_or(word)))
    {
        return None;
    }
    let (cause, word) = argv.iter().skip(1).find_map(|word| {
        if OPERATORS.contains(&word.as_str()) {
            Some((Cause::ShellSyntaxWithoutShell, word))
        } else {
            is_variable(word).then_some((Cause::UnexpandedVariable, word))
        }
    })?;
    let wording =
        format!("; it was executed without a shell, so `{word}` reached `{program}` as an argument");
    let quoted = words::command(argv).replace('\'', "");
    let next = NextStep::new("Run it through a shell.").with_spec(words::spec_lines(
        facts,
        &[&format!("run_command: sh -c '{quoted}'")],
    ));
    Some(Refinement {
        cause,
        wording,
        hint: None,
        next_steps: vec![next],
    })
}

/// `$PORT`, `${PORT}`, `0.0.0.0:$PORT`.
fn is_variable(word: &str) -> bool {
    word.split('$').skip(1).any(|rest| {
        let name = rest.trim_start_matches('{');
        name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
    })
}

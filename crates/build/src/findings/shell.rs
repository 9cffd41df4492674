//! Shells: a program that is not there (`sh: 1: vite: not found`, `bash: line 1: vite: command not found`).

use mainstay_diagnosis::Cause;

use super::{FindingContext, Found, Scanner};

#[derive(Debug)]
pub(super) struct Shell;

impl Scanner for Shell {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        let Some(program) = missing_program(line) else {
            return;
        };
        let cause = if context.is_left_out(program) {
            Cause::DevDependencyMissing
        } else {
            Cause::CommandNotFound
        };
        found.add("sh", "127", Some(cause), line, Some(program));
    }
}

fn missing_program(line: &str) -> Option<&str> {
    let is_shell = ["sh: ", "/bin/sh: ", "bash: ", "/bin/bash: ", "dash: ", "env: "]
        .iter()
        .any(|shell| line.starts_with(shell));
    let sentence = line
        .strip_suffix(": command not found")
        .or_else(|| line.strip_suffix(": not found"))
        .or_else(|| {
            line.strip_suffix(": No such file or directory")
                .filter(|_| line.starts_with("env: "))
        })
        .filter(|_| is_shell)?;
    let program = sentence.rsplit(": ").next()?.trim_matches(['‘', '’', '\'']);
    (!program.is_empty() && !program.contains(' ')).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn missing_programs_are_named() {
        let output = "sh: 1: vite: not found\nbash: line 1: pnpm: command not found\nsome text: not found\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["sh 127 command_not_found vite", "sh 127 command_not_found pnpm"]
        );
        let context = FindingContext {
            development_dependencies: ["typescript".to_owned()].into(),
            production: true,
            ..FindingContext::default()
        };
        assert_eq!(
            of("sh: 1: tsc: not found\n", context),
            ["sh 127 dev_dependency_missing tsc"]
        );
    }
}

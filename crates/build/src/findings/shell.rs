//! Shells: a program that is not there (`sh: 1: vite: not found`, `bash: line 1: vite: command not found`) or may not be executed.

use mainstay_diagnosis::Cause;

use super::{FindingContext, Found, Scanner};

#[derive(Debug)]
pub(super) struct Shell;

impl Scanner for Shell {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if !is_shell(line) {
            return;
        }
        if let Some(program) = missing_program(line) {
            found.explain("sh", "127", context.program(program), line, Some(program));
        } else if let Some(program) = line.strip_suffix(": Permission denied").and_then(last_part) {
            found.add("sh", "126", Some(Cause::NotExecutable), line, Some(program));
        }
    }
}

fn is_shell(line: &str) -> bool {
    [
        "sh: ",
        "/bin/sh: ",
        "bash: ",
        "/bin/bash: ",
        "dash: ",
        "env: ",
        "/usr/bin/env: ",
    ]
    .iter()
    .any(|shell| line.starts_with(shell))
}

fn missing_program(line: &str) -> Option<&str> {
    let by_path = |sentence: &&str| {
        line.contains("env: ")
            || sentence
                .rsplit(": ")
                .next()
                .is_some_and(|name| name.contains('/'))
    };
    let sentence = line
        .strip_suffix(": command not found")
        .or_else(|| line.strip_suffix(": not found"))
        .or_else(|| line.strip_suffix(": No such file or directory").filter(by_path))?;
    last_part(sentence)
}

fn last_part(sentence: &str) -> Option<&str> {
    let program = sentence.rsplit(": ").next()?.trim_matches(['‘', '’', '\'']);
    (!program.is_empty() && !program.contains(' ')).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn missing_programs_are_named() {
        let output = "sh: 1: vite: not found\nbash: line 1: pnpm: command not found\nsome text: not found\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["sh 127 command_not_found vite", "sh 127 command_not_found pnpm"]
        );
        let manifest = [("package.json", r#"{"devDependencies": {"typescript": "5"}}"#)];
        assert_eq!(
            of("sh: 1: tsc: not found\n", context(&manifest, Some("pruned"))),
            ["sh 127 dev_dependency_missing tsc | package.json, pruned"]
        );
    }

    #[test]
    fn scripts_of_the_source_are_held_against_it() {
        assert_eq!(
            of(
                "bash: line 1: ./scripts/build.sh: No such file or directory\n",
                context(&[("scripts/Build.sh", "")], None)
            )[0],
            "sh 127 file_name_case ./scripts/build.sh | spelt scripts/Build.sh"
        );
        assert_eq!(
            of(
                "/bin/sh: 1: ./build.sh: Permission denied\n",
                FindingContext::default()
            ),
            ["sh 126 not_executable ./build.sh"]
        );
    }
}

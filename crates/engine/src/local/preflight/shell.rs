//! Commands that a shell runs: the first word of the text, where it is certain that the shell would execute just that.

use std::path::Path;

const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];

/// What a shell does by itself.
const BUILTINS: &[&str] = &[
    ".", ":", "[", "[[", "alias", "bg", "bind", "break", "builtin", "case", "cd", "command", "continue",
    "declare", "dirs", "echo", "enable", "eval", "exit", "export", "false", "fg", "for", "function",
    "getopts", "hash", "help", "history", "if", "jobs", "kill", "let", "local", "popd", "printf", "pushd",
    "pwd", "read", "readonly", "return", "select", "set", "shift", "shopt", "source", "test", "time",
    "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait",
    "while", "{", "!",
];

/// The program that the shell will execute first, and whose absence would end the command. `None` when that is not certain:
/// a builtin, an assignment, an expansion, or other commands that would run all the same.
pub(super) fn first_word(argv: &[String]) -> Option<&str> {
    let [shell, rest @ ..] = argv else {
        return None;
    };
    let shell = Path::new(shell).file_name()?.to_str()?;
    if !SHELLS.contains(&shell) {
        return None;
    }
    let text = text_of(rest)?;
    // After `&&` nothing runs when the first command is missing; after all others something would.
    if text
        .replace("&&", " ")
        .contains([';', '|', '&', '\n', '`', '(', ')'])
    {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let word = words.next()?;
    let word = if word == "exec" { words.next()? } else { word };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./+:@%,".contains(&byte);
    (word.bytes().all(plain) && !word.starts_with('-') && !BUILTINS.contains(&word)).then_some(word)
}

/// What follows the option `-c`, which may come together with others (`-lc`).
fn text_of(arguments: &[String]) -> Option<&str> {
    let options = arguments.iter().take_while(|argument| argument.starts_with('-'));
    let position = options
        .clone()
        .position(|option| !option.starts_with("--") && option.contains('c'))?;
    let count = options.count();
    (position < count).then(|| arguments.get(count).map(String::as_str))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(argv: &[&str]) -> Option<String> {
        let argv: Vec<String> = argv.iter().map(|&argument| argument.to_owned()).collect();
        first_word(&argv).map(str::to_owned)
    }

    fn of_text(text: &str) -> Option<String> {
        word(&["/bin/bash", "-c", text])
    }

    #[test]
    fn a_plain_command_is_seen() {
        assert_eq!(
            of_text("gunicorn app:app --bind 0.0.0.0:$PORT").as_deref(),
            Some("gunicorn")
        );
        assert_eq!(of_text("exec ./run.sh 'a b'").as_deref(), Some("./run.sh"));
        assert_eq!(of_text("npm ci && npm start").as_deref(), Some("npm"));
        assert_eq!(word(&["sh", "-lc", "node server.js"]).as_deref(), Some("node"));
        assert_eq!(
            word(&["bash", "-e", "-c", "node server.js"]).as_deref(),
            Some("node")
        );
    }

    #[test]
    fn what_is_not_certain_is_left_to_the_shell() {
        for text in [
            "cd web && npm start",
            "PORT=1 node server.js",
            "$RUNNER start",
            "missing || fallback",
            "missing; fallback",
            "\"my tool\" run",
            "(missing)",
            "",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
        assert_eq!(word(&["node", "-c", "x"]), None);
        assert_eq!(word(&["bash", "script"]), None);
        assert_eq!(word(&["bash", "-c"]), None);
    }
}

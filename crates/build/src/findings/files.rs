//! Files that are not there, in the words of the C library, of Python, Node.js and make. Harmless steps print such lines as well, so they
//! count only if no tool named an error of its own.

use mainstay_diagnosis::{Cause, facts::Clue};

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

#[derive(Debug)]
pub(super) struct Files;

impl Scanner for Files {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("No space left on device") || line.contains("ENOSPC: no space left on device") {
            found.add(program(line), "ENOSPC", Some(Cause::DiskFull), line, None);
        } else if let Some(target) = between(line, "No rule to make target '", "'") {
            make(line, target, context, found);
        } else if let Some(path) = missing(line) {
            found.note(program(line), "ENOENT", context.file(path), line, Some(path));
        } else if let Some(path) = between(line, "EACCES: permission denied, ", "'").and(quoted(line)) {
            found.note(
                program(line),
                "EACCES",
                (Cause::PermissionDenied, None),
                line,
                Some(path),
            );
        }
    }
}

/// A file that a rule needs, or a target that no rule makes: because the Makefile has none, or because there is no Makefile.
fn make(line: &str, target: &str, context: &FindingContext, found: &mut Found) {
    if line.contains("needed by") {
        return found.explain("make", "no rule", context.file(target), line, Some(target));
    }
    match context.file("Makefile") {
        (_, Some(Clue::NotCopied { .. })) => {
            found.add("make", "no rule", Some(Cause::ScriptMissing), line, Some(target));
        }
        cause => found.explain("make", "no makefile", cause, line, Some("Makefile")),
    }
}

fn missing(line: &str) -> Option<&str> {
    if line.contains("No targets specified and no makefile found") {
        return Some("Makefile");
    }
    let path = if let Some(rest) = after(line, "[Errno 2] No such file or directory: ") {
        quoted(rest)
    } else if let Some(rest) = after(line, "ENOENT: no such file or directory, ") {
        quoted(rest)
    } else if let Some(rest) = after(line, "can't open file ").or_else(|| after(line, "can't open ")) {
        quoted(rest).or_else(|| rest.split(':').next())
    } else if let Some(sentence) = line.strip_suffix(": No such file or directory") {
        let last = sentence.rsplit(": ").next()?;
        quoted(last).or(Some(last)).filter(|_| sentence.contains(": "))
    } else {
        None
    };
    let path = path?.trim();
    (!path.is_empty() && path.len() < 300 && !path.contains(' ')).then_some(path)
}

/// "cp: cannot stat …" → "cp".
fn program(line: &str) -> &str {
    let name = line.split_once(':').map_or("", |(name, _)| name.trim());
    let name = name.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || name.contains(' ') || name.len() > 20 {
        "step"
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::super::{context::tests::context, tests::of};

    #[test]
    fn sentences_of_several_tools_name_the_file() {
        let files = [("backend/main.py", ""), ("Config.yml", "")];
        for (line, expected) in [
            (
                "cp: cannot stat 'main.py': No such file or directory",
                "cp ENOENT file_not_in_build_context main.py | at backend/main.py",
            ),
            (
                "cat: config.yml: No such file or directory",
                "cat ENOENT file_name_case config.yml | spelt Config.yml",
            ),
            (
                "python3: can't open file '/workspace/x.py': [Errno 2] No such file or directory",
                "python3 ENOENT file_missing /workspace/x.py",
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'x.json'",
                "FileNotFoundError ENOENT file_missing x.json",
            ),
            (
                "make: *** No targets specified and no makefile found.  Stop.",
                "make ENOENT file_missing Makefile",
            ),
            (
                "make: *** No rule to make target 'release'.  Stop.",
                "make no makefile file_missing Makefile",
            ),
            (
                "dd: error writing '/x': No space left on device",
                "dd ENOSPC disk_full -",
            ),
        ] {
            assert_eq!(of(line, context(&files, None)), [expected], "{line}");
        }
    }
}

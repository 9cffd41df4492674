//! What the installed buildah (1.28) does not know. Refused by name before anything runs, because its own messages would name
//! something else ("Unknown instruction: ECHO" for a here-document).

use std::ops::Range;

use mainstay_diagnosis::facts::BuildFault;
use parse_dockerfile::{Flag, Instruction as Parsed, Source};

/// Flags that are known, those that can be left out because they change nothing here, and the rest, which is refused.
struct Flags {
    instruction: &'static str,
    known: &'static [&'static str],
    /// (flag, the only value that may be dropped; `None`: any).
    droppable: &'static [(&'static str, Option<&'static str>)],
}

const FROM: Flags = Flags {
    instruction: "FROM",
    known: &["platform"],
    droppable: &[],
};
/// `--link` only changes how layers are cached.
const COPY: Flags = Flags {
    instruction: "COPY",
    known: &["from", "chown", "chmod"],
    droppable: &[("link", None)],
};
const ADD: Flags = Flags {
    instruction: "ADD",
    known: &["chown", "chmod"],
    droppable: &[("link", None)],
};
const RUN: Flags = Flags {
    instruction: "RUN",
    known: &["mount"],
    droppable: &[("network", Some("default")), ("security", Some("sandbox"))],
};

/// The bytes to leave out of the file, or what cannot be built.
pub(super) fn check(path: &str, line: u32, parsed: &Parsed<'_>) -> Result<Vec<Range<usize>>, BuildFault> {
    let (flags, options, here_documents) = match parsed {
        Parsed::From(from) => (FROM, from.options.as_slice(), false),
        Parsed::Copy(copy) => (COPY, copy.options.as_slice(), has_here_document(&copy.src)),
        Parsed::Add(add) => (ADD, add.options.as_slice(), has_here_document(&add.src)),
        Parsed::Run(run) => (RUN, run.options.as_slice(), !run.here_docs.is_empty()),
        _ => return Ok(Vec::new()),
    };
    if here_documents {
        return Err(unsupported(
            path,
            line,
            &format!("a here-document (<<) in {}", flags.instruction),
            "write the commands with `&& \\`, or keep the text as a file of the repository and COPY it",
        ));
    }
    let mut dropped = Vec::new();
    for option in options {
        if flags.known.contains(&&*option.name.value) {
            continue;
        }
        if !can_be_dropped(&flags, option) {
            return Err(unsupported(
                path,
                line,
                &format!("{} --{}", flags.instruction, option.name.value),
                "remove the flag, or do the same with further instructions",
            ));
        }
        dropped.push(option.span());
    }
    Ok(dropped)
}

fn has_here_document(sources: &[Source<'_>]) -> bool {
    sources.iter().any(|source| !matches!(source, Source::Path(_)))
}

fn can_be_dropped(flags: &Flags, option: &Flag<'_>) -> bool {
    flags.droppable.iter().any(|(name, only)| {
        *name == option.name.value
            && only.is_none_or(|only| option.value.as_ref().is_some_and(|value| value.value == only))
    })
}

fn unsupported(path: &str, line: u32, what: &str, instead: &str) -> BuildFault {
    BuildFault::Unsupported {
        what: format!("{what} ({path} line {line})"),
        reason: format!("the installed image builder does not know it; {instead}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::read;
    use super::*;

    fn what(text: &str) -> String {
        match read("Dockerfile", text).unwrap_err() {
            BuildFault::Unsupported { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_features_are_named_with_their_line() {
        assert_eq!(
            what("FROM a\nRUN <<EOF\necho hi\nEOF\n"),
            "a here-document (<<) in RUN (Dockerfile line 2)"
        );
        assert_eq!(
            what("FROM a\n\nCOPY --parents x /y\n"),
            "COPY --parents (Dockerfile line 3)"
        );
        assert_eq!(
            what("FROM a\nRUN --network=none x\n"),
            "RUN --network (Dockerfile line 2)"
        );
    }

    #[test]
    fn flags_without_effect_are_left_out() {
        let text = "FROM a\nCOPY --link x /y\nRUN --network=default x\n";
        let reading = read("Dockerfile", text).unwrap();
        let dropped: Vec<&str> = reading.stages[0]
            .iter()
            .flat_map(|read| read.instruction.dropped.iter().map(|span| &text[span.clone()]))
            .collect();
        assert_eq!(dropped, ["--link", "--network=default"]);
    }
}

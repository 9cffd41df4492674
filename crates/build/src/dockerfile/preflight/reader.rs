//! From text to instructions. The grammar is `parse-dockerfile`'s; here its result gets lines, one-line texts and our own types.

use std::ops::Range;

use mainstay_diagnosis::facts::BuildFault;
use parse_dockerfile::{Flag, Instruction as Parsed, Source};

use super::{
    expand,
    plan::{Instruction, Keyword},
    support,
};

/// A Dockerfile as read.
#[derive(Debug)]
pub(super) struct Reading {
    pub escape: char,
    /// `ARG`s before the first `FROM`.
    pub head: Vec<Read>,
    pub stages: Vec<Vec<Read>>,
}

#[derive(Debug)]
pub(super) struct Read {
    pub instruction: Instruction,
    pub detail: Detail,
}

/// What an instruction means for the pre-flight; variables not yet replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Detail {
    From {
        image: String,
        platform: Option<String>,
        name: Option<String>,
    },
    /// `COPY` and `ADD`; URLs are left out.
    Files {
        from: Option<String>,
        sources: Vec<String>,
    },
    Run {
        mounts: Vec<Mount>,
    },
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, Option<String>)>),
    Other,
}

/// `RUN --mount`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mount {
    pub kind: String,
    pub from: Option<String>,
    pub source: Option<String>,
}

pub(super) fn read(path: &str, text: &str) -> Result<Reading, BuildFault> {
    let parsed = parse_dockerfile::parse(text).map_err(|error| BuildFault::DockerfileInvalid {
        path: path.to_owned(),
        line: u32::try_from(error.line()).ok().filter(|line| *line > 0),
        message: format!("{error:#}"),
    })?;
    let escape = parsed
        .parser_directives
        .escape
        .as_ref()
        .map_or('\\', |directive| directive.value.value);
    let mut reading = Reading {
        escape,
        head: Vec::new(),
        stages: Vec::new(),
    };
    for instruction in &parsed.instructions {
        let read = read_one(path, text, escape, instruction)?;
        if matches!(read.detail, Detail::From { .. }) {
            reading.stages.push(vec![read]);
        } else if let Some(stage) = reading.stages.last_mut() {
            stage.push(read);
        } else {
            reading.head.push(read);
        }
    }
    Ok(reading)
}

fn read_one(path: &str, text: &str, escape: char, parsed: &Parsed<'_>) -> Result<Read, BuildFault> {
    let (keyword, start) = keyword(parsed);
    let line = line_of(text, start);
    let dropped = support::check(path, line, parsed)?;
    let span = extent(text, start, escape);
    let instruction = Instruction {
        keyword,
        line,
        text: one_line(&text[span.clone()], escape),
        span,
        dropped,
    };
    Ok(Read {
        instruction,
        detail: detail(parsed, escape),
    })
}

fn keyword(parsed: &Parsed<'_>) -> (Keyword, usize) {
    match parsed {
        Parsed::From(from) => (Keyword::From, from.from.span.start),
        Parsed::Run(run) => (Keyword::Run, run.run.span.start),
        Parsed::Copy(copy) => (Keyword::Copy, copy.copy.span.start),
        Parsed::Add(add) => (Keyword::Add, add.add.span.start),
        other => (Keyword::Other, other_start(other)),
    }
}

fn other_start(parsed: &Parsed<'_>) -> usize {
    match parsed {
        Parsed::Arg(i) => i.arg.span.start,
        Parsed::Cmd(i) => i.cmd.span.start,
        Parsed::Entrypoint(i) => i.entrypoint.span.start,
        Parsed::Env(i) => i.env.span.start,
        Parsed::Expose(i) => i.expose.span.start,
        Parsed::Healthcheck(i) => i.healthcheck.span.start,
        Parsed::Label(i) => i.label.span.start,
        Parsed::Maintainer(i) => i.maintainer.span.start,
        Parsed::Onbuild(i) => i.onbuild.span.start,
        Parsed::Shell(i) => i.shell.span.start,
        Parsed::Stopsignal(i) => i.stopsignal.span.start,
        Parsed::User(i) => i.user.span.start,
        Parsed::Volume(i) => i.volume.span.start,
        Parsed::Workdir(i) => i.workdir.span.start,
        _ => 0,
    }
}

fn detail(parsed: &Parsed<'_>, escape: char) -> Detail {
    match parsed {
        Parsed::From(from) => Detail::From {
            image: from.image.value.to_string(),
            platform: flag(&from.options, "platform"),
            name: from.as_.as_ref().map(|(_, name)| name.value.to_string()),
        },
        Parsed::Copy(copy) => Detail::Files {
            from: flag(&copy.options, "from"),
            sources: paths(&copy.src),
        },
        Parsed::Add(add) => Detail::Files {
            from: None,
            sources: paths(&add.src)
                .into_iter()
                .filter(|source| !is_remote(source))
                .collect(),
        },
        Parsed::Run(run) => Detail::Run {
            mounts: flags(&run.options, "mount").map(|value| mount(&value)).collect(),
        },
        Parsed::Arg(arg) => Detail::Arg(expand::pairs(&arg.arguments.value, escape, false)),
        Parsed::Env(env) => Detail::Env(expand::pairs(&env.arguments.value, escape, true)),
        _ => Detail::Other,
    }
}

fn paths(sources: &[Source<'_>]) -> Vec<String> {
    sources
        .iter()
        .filter_map(|source| match source {
            Source::Path(path) => Some(path.value.to_string()),
            _ => None,
        })
        .collect()
}

fn is_remote(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}

fn flags<'a>(options: &'a [Flag<'_>], name: &'a str) -> impl Iterator<Item = String> + 'a {
    options
        .iter()
        .filter(move |option| option.name.value == name)
        .filter_map(|option| option.value.as_ref().map(|value| value.value.to_string()))
}

fn flag(options: &[Flag<'_>], name: &str) -> Option<String> {
    flags(options, name).next()
}

fn mount(value: &str) -> Mount {
    let mut mount = Mount {
        kind: "bind".to_owned(),
        ..Mount::default()
    };
    for field in value.split(',') {
        match field.split_once('=') {
            Some(("type", kind)) => kind.clone_into(&mut mount.kind),
            Some(("from", from)) => mount.from = Some(from.to_owned()),
            Some(("source" | "src", source)) => mount.source = Some(source.to_owned()),
            _ => {}
        }
    }
    mount
}

pub(super) fn line_of(text: &str, position: usize) -> u32 {
    let newlines = text[..position].matches('\n').count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}

/// From the keyword to the end of the last continued line.
fn extent(text: &str, start: usize, escape: char) -> Range<usize> {
    let mut end = start;
    for line in text[start..].split_inclusive('\n') {
        let content = line.trim_end();
        let is_comment = end > start && content.trim_start().starts_with('#');
        let is_blank = end > start && content.is_empty();
        if is_comment || is_blank {
            end += line.len();
            continue;
        }
        if !content.ends_with(escape) {
            return start..end + content.len();
        }
        end += line.len();
    }
    start..start + text[start..end].trim_end().len()
}

/// The instruction on one line: continuations joined, comments between them left out.
fn one_line(text: &str, escape: char) -> String {
    let mut joined = String::with_capacity(text.len());
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if index > 0 && (content.starts_with('#') || content.is_empty()) {
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(content.strip_suffix(escape).unwrap_or(content).trim_end());
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTINUED: &str =
        "FROM a AS one\nRUN \\\n  # why\n  echo 1 && \\\n\n  echo 2\nCOPY x \\\n  y /z/\n";

    #[test]
    fn continued_instructions_become_one_line_and_keep_their_first() {
        let reading = read("Dockerfile", CONTINUED).unwrap();
        let seen: Vec<(u32, &str)> = reading.stages[0]
            .iter()
            .map(|read| (read.instruction.line, read.instruction.text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (1, "FROM a AS one"),
                (2, "RUN echo 1 && echo 2"),
                (7, "COPY x y /z/")
            ]
        );
        assert_eq!(
            &CONTINUED[reading.stages[0][2].instruction.span.clone()],
            "COPY x \\\n  y /z/"
        );
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let fault = read("Dockerfile", "FROM a\nRUNN x\n").unwrap_err();
        assert_eq!(
            fault,
            BuildFault::DockerfileInvalid {
                path: "Dockerfile".to_owned(),
                line: Some(2),
                message: "unknown instruction 'RUNN'".to_owned(),
            }
        );
    }

    #[test]
    fn mounts_are_read() {
        let reading = read("D", "FROM a\nRUN --mount=type=bind,from=b,src=/x,target=/y ls\n").unwrap();
        assert_eq!(
            reading.stages[0][1].detail,
            Detail::Run {
                mounts: vec![Mount {
                    kind: "bind".to_owned(),
                    from: Some("b".to_owned()),
                    source: Some("/x".to_owned()),
                }]
            }
        );
    }
}

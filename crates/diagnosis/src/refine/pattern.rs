//! Looking for known lines: plain substrings, no regular expressions, so that the tables can be read.

use crate::{Cause, words};

/// A line that stands for a cause.
#[derive(Debug)]
pub(super) struct Pattern {
    /// All must occur in the line; lower case, compared without regard to case.
    pub(super) all: &'static [&'static str],
    pub(super) cause: Cause,
    pub(super) subject: Subject,
    /// Weak lines are also printed by apps that go on well; they count only when no strong one is there, and near the end.
    pub(super) weak: bool,
}

/// How the thing that a line names is read out of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    None,
    /// The first text in quotes (', ", `) after the first words of the pattern.
    Quoted,
    /// The word after this text.
    After(&'static str),
    /// The text between these two.
    Between(&'static str, &'static str),
    /// The last `: `-separated part before this text: "sh: 1: gunicorn: not found" → "gunicorn".
    PartBefore(&'static str),
    /// The first name in upper case that looks like a variable's; without one the line is no hit.
    VariableName,
    /// The non-empty line before, where it is one word: how pydantic names a field. Without one the line is no hit.
    LineBefore,
    /// The variable's name in the next line: how validators print the path of a value. Without one the line is no hit.
    NameBelow,
    /// A reference like `${db.DATABASE_URL}`; without one the line is no hit.
    Reference,
}

/// A line of the log that a pattern matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) cause: Cause,
    pub(super) line: String,
    /// The words that were found in it, in lower case.
    pub(super) mark: &'static str,
    pub(super) subject: Option<String>,
}

/// How near to the end a weak line has to stand.
const WEAK_LINES_MAX: usize = 15;

/// The last line of the log that a strong pattern matches, else a weak one near the end. Of several lines about the same cause one that
/// names its subject says more: runtimes print the error first, and its bare code below.
pub(super) fn find(lines: &[String], tables: &[&[Pattern]]) -> Option<Hit> {
    let plain = |line: &String| words::without_escapes(line).into_owned();
    let lines: &[String] = &lines.iter().map(plain).collect::<Vec<_>>();
    let found = |weak, depth| {
        let mut hits = hits(lines, tables, weak, depth);
        let last = hits.next()?;
        if last.subject.is_some() {
            return Some(last);
        }
        let named = hits.find(|hit| hit.cause == last.cause && hit.subject.is_some());
        Some(named.unwrap_or(last))
    };
    found(false, lines.len()).or_else(|| found(true, WEAK_LINES_MAX))
}

/// The matching lines, last first.
fn hits(lines: &[String], tables: &[&[Pattern]], weak: bool, depth: usize) -> impl Iterator<Item = Hit> {
    (0..lines.len()).rev().take(depth).filter_map(move |index| {
        let lower = lines[index].to_ascii_lowercase();
        let patterns = tables.iter().flat_map(|table| table.iter());
        patterns
            .filter(|pattern| pattern.weak == weak)
            .find_map(|pattern| matched(pattern, lines, index, &lower))
    })
}

fn matched(pattern: &Pattern, lines: &[String], index: usize, lower: &str) -> Option<Hit> {
    if !pattern.all.iter().all(|word| occurs(word, lower)) {
        return None;
    }
    let line = &lines[index];
    let subject = subject(pattern, lines, index, lower);
    let required = matches!(
        pattern.subject,
        Subject::VariableName | Subject::LineBefore | Subject::NameBelow | Subject::Reference
    );
    (subject.is_some() || !required).then(|| Hit {
        cause: pattern.cause,
        line: line.trim().to_owned(),
        mark: pattern.all.first().copied().unwrap_or_default(),
        subject,
    })
}

/// The name of a runtime's own error stands alone; with a package before it, it is a library's, and means something else: `psycopg.errors`
/// has a `SyntaxError` for SQL.
fn occurs(word: &str, lower: &str) -> bool {
    let is_error = word.ends_with("error:");
    lower
        .match_indices(word)
        .any(|(at, _)| !(is_error && lower[..at].ends_with('.')))
}

/// Lower case keeps byte positions (ASCII only), so positions found in `lower` hold in the line.
fn subject(pattern: &Pattern, lines: &[String], index: usize, lower: &str) -> Option<String> {
    let line = lines[index].as_str();
    let text = match pattern.subject {
        Subject::None => return None,
        Subject::Quoted => quoted(&line[end_of_first_word(pattern, lower)..])?,
        Subject::After(marker) => word_after(line, lower, marker)?,
        Subject::Between(from, to) => between(line, lower, from, to)?,
        Subject::PartBefore(marker) => line[..lower.find(marker)?].rsplit(": ").next()?,
        Subject::VariableName => variable_name(line)?,
        Subject::NameBelow => variable_name(lines.get(index + 1)?)?,
        Subject::LineBefore => lines[..index]
            .iter()
            .rev()
            .map(|line| line.trim())
            .find(|line| !line.is_empty())?,
        Subject::Reference => reference(line)?,
    };
    let text = text.trim().trim_end_matches(['.', ',', ';', ':']);
    let one_word = !text.contains(char::is_whitespace);
    let usable = !text.is_empty()
        && text.len() <= 200
        && (one_word || matches!(pattern.subject, Subject::Quoted | Subject::Between(..)));
    usable.then(|| text.to_owned())
}

/// Quotes count from here on: some words have an apostrophe themselves ("can't").
fn end_of_first_word(pattern: &Pattern, lower: &str) -> usize {
    pattern
        .all
        .first()
        .and_then(|word| Some(lower.find(word)? + word.len()))
        .unwrap_or(0)
}

fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['\'', '"', '`', '‘', '“'])?;
    let open = text[start..].chars().next()?;
    let close = match open {
        '‘' => '’',
        '“' => '”',
        // Some tools open with a backquote and close with an apostrophe.
        '`' => {
            return text[start + 1..]
                .find(['`', '\''])
                .map(|end| &text[start + 1..start + 1 + end]);
        }
        same => same,
    };
    let from = start + open.len_utf8();
    text[from..].find(close).map(|end| &text[from..from + end])
}

fn word_after<'a>(line: &'a str, lower: &str, marker: &str) -> Option<&'a str> {
    let rest = line[lower.find(marker)? + marker.len()..].trim_start();
    let word = rest.split_whitespace().next()?;
    Some(word.trim_matches(['\'', '"', '`', '(', ')']))
}

fn between<'a>(line: &'a str, lower: &str, from: &str, to: &str) -> Option<&'a str> {
    let start = lower.find(from)? + from.len();
    let end = lower[start..].find(to)?;
    Some(&line[start..start + end])
}

/// The first word such as `DATABASE_URL` or `PORT`: upper case, digits and underscores, at least four letters or with an underscore.
pub(super) fn variable_name(line: &str) -> Option<&str> {
    let name_bytes = |character: char| character.is_ascii_alphanumeric() || character == '_';
    line.split(|character| !name_bytes(character)).find(|word| {
        let upper = word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let letters = word.bytes().filter(u8::is_ascii_uppercase).count();
        let common = matches!(
            *word,
            "ERROR"
                | "FATAL"
                | "WARN"
                | "WARNING"
                | "INFO"
                | "DEBUG"
                | "CRITICAL"
                | "PANIC"
                | "TRACE"
                | "EOF"
                | "HTTP"
                | "HTTPS"
                | "JSON"
                | "HINT"
                | "DETAIL"
                | "LOG"
                | "TODO"
                | "NOTE"
                | "POST"
                | "NULL"
                | "UTC"
                | "MISSING"
        );
        // An error's own code (ERR_INVALID_ARG, E_ACCESS) is no variable.
        let code = word.starts_with("ERR_") || word.starts_with("E_");
        upper && !common && !code && letters >= 3 && (word.contains('_') || letters >= 4)
    })
}

/// `${component.NAME}` as literal text.
fn reference(line: &str) -> Option<&str> {
    let start = line.find("${")?;
    let end = start + line[start..].find('}')?;
    let inside = &line[start + 2..end];
    let (component, name) = inside.split_once('.')?;
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    (plain(component) && plain(name)).then(|| &line[start..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_names_its_subject_says_more_than_the_bare_code_below() {
        let refused = |needle: &'static [&'static str]| Pattern {
            all: needle,
            cause: Cause::ConnectionRefused,
            subject: Subject::After("econnrefused"),
            weak: false,
        };
        let table = [refused(&["econnrefused"])];
        let lines = [
            "Error: connect ECONNREFUSED 127.0.0.1:9999",
            "  code: 'ECONNREFUSED',",
        ];
        let hit = find(&lines.map(str::to_owned), &[&table]).unwrap();
        assert_eq!(hit.subject.as_deref(), Some("127.0.0.1:9999"));
    }

    #[test]
    fn colours_hide_no_name() {
        let table = [Pattern {
            all: &["undefined"],
            cause: Cause::MissingEnv,
            subject: Subject::VariableName,
            weak: true,
        }];
        let lines = ["    \u{1b}[34mAPI_URL\u{1b}[0m: undefined".to_owned()];
        let hit = find(&lines, &[&table]).unwrap();
        assert_eq!(
            (hit.subject.as_deref(), hit.line.as_str()),
            (Some("API_URL"), "API_URL: undefined")
        );
    }

    #[test]
    fn an_error_of_a_library_is_not_the_runtimes_own() {
        assert!(occurs("syntaxerror:", "  syntaxerror: invalid syntax"));
        assert!(!occurs(
            "syntaxerror:",
            r#"psycopg.errors.syntaxerror: syntax error at or near "selec""#
        ));
        assert!(occurs(
            "java.lang.outofmemoryerror:",
            "java.lang.outofmemoryerror: heap"
        ));
    }

    #[test]
    fn subjects_are_read_from_the_line() {
        assert_eq!(quoted("cannot find module 'express'"), Some("express"));
        assert_eq!(quoted("no “a b” here"), Some("a b"));
        assert_eq!(
            variable_name("Error: DATABASE_URL is required"),
            Some("DATABASE_URL")
        );
        assert_eq!(variable_name("ERROR missing SECRET"), Some("SECRET"));
        assert_eq!(variable_name("TypeError: ERR_INVALID_ARG_TYPE"), None);
        assert_eq!(
            reference("Invalid URL: ${db.DATABASE_URL}"),
            Some("${db.DATABASE_URL}")
        );
        assert_eq!(reference("`${x}`"), None);
    }
}

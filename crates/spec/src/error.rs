//! What is wrong with a spec: one entry for each bad field, all of them at once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// No more errors than this are collected; the last entry then says so.
pub const ERRORS_MAX: usize = 100;

/// Longest part of an offending value that is repeated in an error, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// One bad field of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SpecError {
    /// `services[0].http_port`; empty for the whole document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Counted from 1; `None` when the spec did not come from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Counted from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub problem: Problem,
    /// The offending value, cut to a readable length. Never the value of a field that may hold a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The rule that is broken, as the rest of a sentence about the field: "must be between 1 and 65535".
    pub rule: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// What kind of rule is broken. Additive; never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The text is no YAML or JSON.
    Syntax,
    /// The text is larger or more nested than any spec needs to be.
    TooLarge,
    UnknownField,
    DuplicateField,
    WrongType,
    Required,
    OutOfRange,
    /// The value has not the shape the field needs.
    Malformed,
    /// The value is none of the field's values.
    UnknownValue,
    NotUnique,
    /// Two fields that exclude each other, or a field without the one it needs.
    Conflict,
    /// The value names something that is not in the spec.
    UnknownReference,
    /// Valid, but this version cannot run it.
    Unsupported,
    /// Valid and accepted, but without effect here. Only in warnings.
    NoEffect,
    /// The app has a value that it would lose. In warnings, and in errors where the caller asked for that.
    Lost,
}

impl SpecError {
    pub fn new(path: impl Into<String>, problem: Problem, rule: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: None,
            column: None,
            problem,
            value: None,
            rule: rule.into(),
            suggestion: None,
        }
    }

    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        if !may_hold_secret(&self.path) {
            self.value = Some(shortened(&without_login(&value.to_string())));
        }
        self
    }

    #[must_use]
    pub fn suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}

impl fmt::Display for SpecError {
    /// One line: `services[0].http_port: must be between 1 and 65535 (found 70000; line 7, column 16)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.rule)?;
        let place = self
            .line
            .map(|line| format!("line {line}, column {}", self.column.unwrap_or(1)));
        let found = self.value.as_ref().map(|value| format!("found {value}"));
        let details: Vec<String> = found.into_iter().chain(place).collect();
        if !details.is_empty() {
            write!(f, " ({})", details.join("; "))?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// All errors of one spec, in the order of the text; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecErrors(Vec<SpecError>);

impl SpecErrors {
    /// `None` when there is no error. More than [`ERRORS_MAX`] are cut.
    pub fn of(mut errors: Vec<SpecError>) -> Option<Self> {
        if errors.is_empty() {
            return None;
        }
        errors.sort_by_key(|error| (error.line.unwrap_or(0), error.column.unwrap_or(0)));
        if errors.len() > ERRORS_MAX {
            errors.truncate(ERRORS_MAX);
            let rule = format!("more than {ERRORS_MAX} errors; the rest is not shown");
            errors.push(SpecError::new("", Problem::TooLarge, rule));
        }
        Some(Self(errors))
    }

    pub fn as_slice(&self) -> &[SpecError] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<SpecError> {
        self.0
    }
}

impl From<SpecError> for SpecErrors {
    fn from(error: SpecError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

/// Fields whose value must not appear in messages, wherever they stand.
fn may_hold_secret(path: &str) -> bool {
    const FIELDS: [&str; 6] = [
        "value",
        "registry_credentials",
        "api_key",
        "token",
        "password",
        "headers",
    ];
    let last = path.rsplit('.').next().unwrap_or(path);
    let name = last.split('[').next().unwrap_or(last);
    FIELDS.contains(&name) && path != "value"
}

/// A URL's `user:password@` may be a secret wherever a URL can stand.
fn without_login(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((login, _)) => format!("{scheme}://…{}", &rest[login.len()..]),
        None => value.to_owned(),
    }
}

fn shortened(value: &str) -> String {
    let value = value.replace(['\n', '\r', '\t'], " ");
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_place_and_suggestion() {
        let error = SpecError::new(
            "services[0].http_port",
            Problem::OutOfRange,
            "must be between 1 and 65535",
        )
        .value(70_000)
        .at(7, 16)
        .suggestion("use 8080");
        let expected =
            "services[0].http_port: must be between 1 and 65535 (found 70000; line 7, column 16); use 8080";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn values_that_may_be_secret_are_left_out() {
        for path in [
            "services[0].envs[1].value",
            "workers[0].image.registry_credentials",
        ] {
            let error = SpecError::new(path, Problem::WrongType, "must be text").value("hunter2");
            assert_eq!(error.value, None, "{path}");
        }
        let alert = SpecError::new("name", Problem::WrongType, "must be text").value("x");
        assert_eq!(alert.value.as_deref(), Some("x"));
    }

    #[test]
    fn logins_in_urls_are_left_out() {
        let error = SpecError::new("services[0].git.repo_clone_url", Problem::Malformed, "x");
        let value = error.value("https://me:hunter 2@example.com/a b").value;
        assert_eq!(value.as_deref(), Some("https://…@example.com/a b"));
    }

    #[test]
    fn more_errors_than_anyone_reads_are_cut() {
        let many = (0..500)
            .map(|n| SpecError::new(format!("envs[{n}]"), Problem::Required, "x"))
            .collect();
        let errors = SpecErrors::of(many).unwrap();
        assert_eq!(errors.as_slice().len(), ERRORS_MAX + 1);
        assert!(
            errors.as_slice()[ERRORS_MAX]
                .rule
                .contains("more than 100 errors")
        );
    }
}

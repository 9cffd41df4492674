//! A spec's text as a tree whose every key and value knows its place. Bounded: text size, nesting, values and expanded bytes.

mod json;
mod scalar;
mod yaml;

pub(crate) use scalar::Resolved;

use crate::error::{Problem, SpecError};

/// Largest accepted text; the worst one of this size takes well under 100 ms.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;
/// Deepest accepted nesting; the deepest field of a spec is at 8.
pub const DEPTH_MAX: usize = 32;
/// Most values, aliases expanded.
pub(crate) const VALUES_MAX: usize = 50_000;
/// Most bytes of keys and values, aliases expanded.
pub(crate) const EXPANDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How the text is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
    /// JSON when the first character is `{`, else YAML.
    #[default]
    Auto,
}

/// A place in the text; both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Quoted, or tagged as text: never read as a number, truth value or null.
    pub(crate) quoted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.resolve() == Resolved::Null)
    }

    /// What the value is, for "found …" in messages.
    pub(crate) fn description(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            Value::Scalar(scalar) => scalar.resolve().description(),
        }
    }
}

/// Reads the text into a tree.
pub(crate) fn read(text: &str, format: Format) -> Result<Node, SpecError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > TEXT_BYTES_MAX {
        let rule = format!("the spec must not be larger than {} KiB", TEXT_BYTES_MAX / 1024);
        return Err(SpecError::new("", Problem::TooLarge, rule).value(format!("{} KiB", text.len() / 1024)));
    }
    if is_json(text, format) {
        yaml::read(&json::as_yaml(text)?)
    } else {
        yaml::read(text)
    }
}

fn is_json(text: &str, format: Format) -> bool {
    match format {
        Format::Json => true,
        Format::Yaml => false,
        Format::Auto => text.trim_start().starts_with('{'),
    }
}

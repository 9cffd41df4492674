//! JSON is read by the YAML parser, whose grammar contains it and which knows places; but first it must be JSON.

use std::{borrow::Cow, fmt::Write as _};

use serde::de::IgnoredAny;

use crate::error::{Problem, SpecError};

/// Refuses what is no JSON, with JSON's own words for what is wrong; returns the text as YAML.
///
/// The few characters that JSON's strings may hold but YAML's may not become escapes; columns behind one of them shift.
pub(super) fn as_yaml(text: &str) -> Result<Cow<'_, str>, SpecError> {
    let Err(error) = serde_json::from_str::<IgnoredAny>(text) else {
        return Ok(escaped(text));
    };
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let place = |number: usize| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
    Err(
        SpecError::new("", Problem::Syntax, format!("not valid JSON: {message}"))
            .at(place(error.line()), place(error.column())),
    )
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(foreign_to_yaml) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if foreign_to_yaml(character) {
            write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes every text");
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Not printable in YAML, or a line break in some version of it. JSON allows them only inside strings.
fn foreign_to_yaml(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

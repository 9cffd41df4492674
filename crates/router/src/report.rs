//! Lines for the operator on standard error. A lost reader of them must never end the router, so errors are ignored.

use std::{fmt::Arguments, io::Write};

pub fn line(text: Arguments<'_>) {
    let line = format!(
        "{} mainstay-router[{}]: {text}\n",
        jiff::Timestamp::now(),
        std::process::id()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// An error with all its sources, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

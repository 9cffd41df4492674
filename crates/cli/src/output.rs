//! What is printed, and where.

use std::io::{self, Write};

use mainstay_api::Reason;
use mainstay_diagnosis::render;
use serde::Serialize;
use serde_json::json;

use crate::{args::Format, error::CliError};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Data: the API's own shape, or text for people.
    pub(crate) fn data(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.is_json() {
            print_line(&serde_json::to_string_pretty(value).unwrap_or_default());
        } else {
            print_line(text().trim_end());
        }
    }

    pub(crate) fn error(&self, error: &CliError) {
        if self.is_json() {
            let body = match error {
                CliError::Refused { body } => {
                    json!({ "errors": [{ "detail": body.message }], "error": body })
                }
                other => json!({ "errors": [{ "detail": other.to_string() }] }),
            };
            print_line(&serde_json::to_string_pretty(&body).unwrap_or_default());
            return;
        }
        match error {
            CliError::Refused { body } if !body.errors.is_empty() => {
                eprint!("{}", mainstay_spec::render_errors(&body.errors, "spec"));
            }
            CliError::Spec(rendered) => eprint!("{rendered}"),
            other => eprintln!("error: {}", chain(other)),
        }
    }
}

/// A reader that went away (`| head`) wants no more.
fn print_line(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Columns, as wide as their widest cell.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    std::iter::once(&headings)
        .chain(rows)
        .map(|row| line(row))
        .collect()
}

pub(crate) fn card(reason: &Reason) -> String {
    render::card(&reason.view())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [
            vec!["a".to_owned(), "long cell".to_owned()],
            vec!["bbb".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            table(&["ID", "NAME"], &rows),
            "ID   NAME\na    long cell\nbbb  x\n"
        );
    }
}

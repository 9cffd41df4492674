//! What is printed, and where.

use std::io::{self, Write};

use jiff::Timestamp;
use mainstay_api::Reason;
use mainstay_diagnosis::render;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{Arguments, Format},
    error::CliError,
};

#[derive(Debug, Clone)]
pub(crate) struct Output {
    format: Format,
    /// The columns that were asked for, by their keys.
    columns: Vec<String>,
    with_headings: bool,
}

/// A column of a table.
pub(crate) struct Column<T> {
    key: &'static str,
    heading: &'static str,
    is_usual: bool,
    cell: fn(&T) -> String,
}

impl<T> Column<T> {
    /// `key` is what `--format` calls it.
    pub(crate) const fn new(key: &'static str, heading: &'static str, cell: fn(&T) -> String) -> Self {
        Self {
            key,
            heading,
            is_usual: true,
            cell,
        }
    }

    /// Left out unless it is asked for.
    pub(crate) const fn on_request(key: &'static str, heading: &'static str, cell: fn(&T) -> String) -> Self {
        Self {
            is_usual: false,
            ..Self::new(key, heading, cell)
        }
    }
}

impl Output {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            format: arguments.output,
            columns: arguments.format.clone(),
            with_headings: !arguments.no_header,
        }
    }

    /// The words given to `--format`.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Several of the same: the API's own shape, or a table with the columns that were asked for.
    pub(crate) fn list<T: Serialize>(&self, items: &[T], columns: &[Column<T>]) -> Result<(), CliError> {
        let shown = chosen(columns, &self.columns)?;
        self.data(&items, || {
            let row = |item: &T| shown.iter().map(|column| (column.cell)(item)).collect();
            let rows: Vec<Vec<String>> = items.iter().map(row).collect();
            let headings: Vec<&str> = shown.iter().map(|column| column.heading).collect();
            let text = table(&headings, &rows);
            match text.split_once('\n') {
                Some((_, without)) if !self.with_headings => without.to_owned(),
                _ => text,
            }
        });
        Ok(())
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

    /// Refuses columns that there are not: before anything is changed, where the list comes after a change.
    pub(crate) fn check<T>(&self, columns: &[Column<T>]) -> Result<(), CliError> {
        chosen(columns, &self.columns).map(drop)
    }

    /// One of them: in JSON a list of one, as doctl has it; for people the columns that were asked for, or else the text.
    pub(crate) fn one<T: Serialize>(
        &self,
        item: &T,
        columns: &[Column<T>],
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.columns.is_empty() {
            self.data(&[item], text);
            return Ok(());
        }
        self.list(std::slice::from_ref(item), columns)
    }

    /// More for people, after the data.
    pub(crate) fn text(&self, text: &str) {
        if !text.is_empty() && !self.is_json() {
            print_line(text.trim_end());
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

/// The usual columns, or those of these keys in their order.
fn chosen<'c, T>(columns: &'c [Column<T>], keys: &[String]) -> Result<Vec<&'c Column<T>>, CliError> {
    if keys.is_empty() {
        return Ok(columns.iter().filter(|column| column.is_usual).collect());
    }
    let by_key = |key: &String| {
        let found = columns.iter().find(|column| column.key.eq_ignore_ascii_case(key));
        found.ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.key).collect();
            CliError::Usage(format!(
                "--format: there is no column `{key}` here; there are {}",
                known.join(", ")
            ))
        })
    };
    keys.iter().map(by_key).collect()
}

/// "2026-11-26 05:10:00", of UTC.
pub(crate) fn time(at: Option<Timestamp>) -> String {
    at.map_or(String::new(), |at| at.strftime("%F %T").to_string())
}

/// Columns, as wide as their widest cell.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
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

    #[test]
    fn columns_are_chosen_by_key_in_the_order_asked_for() {
        let columns: [Column<u8>; 3] = [
            Column::new("ID", "ID", u8::to_string),
            Column::new("Spec.Name", "NAME", u8::to_string),
            Column::on_request("Created", "CREATED", u8::to_string),
        ];
        let headings = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            let shown = chosen(&columns, &keys)?;
            Ok::<_, CliError>(shown.iter().map(|column| column.heading).collect::<Vec<_>>())
        };
        assert_eq!(headings(&[]).unwrap(), ["ID", "NAME"]);
        assert_eq!(headings(&["created", "id"]).unwrap(), ["CREATED", "ID"]);
        let error = headings(&["Age"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "--format: there is no column `Age` here; there are ID, Spec.Name, Created"
        );
    }
}

//! Errors as text for people: readable at 80 columns, without colour.

use crate::error::SpecError;

const COLUMNS: usize = 80;

/// `file` is the name that the spec was read from.
pub fn render_errors(errors: &[SpecError], file: &str) -> String {
    render("error", errors, file)
}

/// As [`render_errors`], for [`crate::ParsedSpec::warnings`].
pub fn render_warnings(warnings: &[SpecError], file: &str) -> String {
    render("warning", warnings, file)
}

fn render(label: &str, errors: &[SpecError], file: &str) -> String {
    let blocks: Vec<String> = errors.iter().map(|error| block(label, error, file)).collect();
    blocks.join("\n")
}

fn block(label: &str, error: &SpecError, file: &str) -> String {
    let subject = if error.path.is_empty() {
        String::new()
    } else {
        format!("{}: ", error.path)
    };
    let mut text = wrapped(&format!("{label}: "), &format!("{subject}{}", error.rule));
    if let Some(line) = error.line {
        text += &wrapped("  --> ", &format!("{file}:{line}:{}", error.column.unwrap_or(1)));
    }
    if let Some(value) = &error.value {
        text += &wrapped("  found: ", value);
    }
    if let Some(suggestion) = &error.suggestion {
        text += &wrapped("  help: ", suggestion);
    }
    text
}

/// Breaks at blanks; later lines are indented to where the first one's text begins.
fn wrapped(lead: &str, text: &str) -> String {
    let indent = lead.chars().count();
    let mut out = lead.to_owned();
    let mut column = indent;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > COLUMNS {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;

    #[test]
    fn a_block_names_field_place_value_and_help() {
        let error = SpecError::new(
            "services[0].htp_port",
            Problem::UnknownField,
            "unknown field of a service",
        )
        .at(7, 5)
        .suggestion("did you mean `http_port`?");
        let expected = "error: services[0].htp_port: unknown field of a service\n  --> app.yaml:7:5\n  help: did you mean `http_port`?\n";
        assert_eq!(render_errors(&[error], "app.yaml"), expected);
    }

    #[test]
    fn no_line_of_words_is_wider_than_80_columns() {
        let rule = "must be one of ".to_owned() + &"node-js, ".repeat(40);
        let text = render_warnings(
            &[SpecError::new(
                "services[0].environment_slug",
                Problem::UnknownValue,
                rule,
            )],
            "f",
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("         ")),
            "{text}"
        );
    }
}

//! The Procfile: one process type a line.

use std::collections::BTreeMap;

use crate::source::SourceTree;

/// A parsed Procfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procfile {
    pub lines: Vec<ProcessLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessLine {
    pub process_type: String,
    pub command: String,
}

impl Procfile {
    /// `None` when the source has none.
    pub fn read(tree: &SourceTree) -> Option<Self> {
        tree.text("Procfile").map(|text| Self::parse(&text))
    }

    /// `type: command`; empty lines, comments and everything else are passed over, as Heroku does.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .trim_start_matches('\u{feff}')
            .lines()
            .filter_map(parse_line)
            .collect();
        Self { lines }
    }

    /// The later of two lines of one type counts.
    pub fn processes(self) -> BTreeMap<String, String> {
        self.lines
            .into_iter()
            .map(|line| (line.process_type, line.command))
            .collect()
    }
}

fn parse_line(line: &str) -> Option<ProcessLine> {
    let (process_type, command) = line.split_once(':')?;
    let (process_type, command) = (process_type.trim(), command.trim());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (!process_type.is_empty() && process_type.bytes().all(is_name) && !command.is_empty()).then(|| {
        ProcessLine {
            process_type: process_type.to_owned(),
            command: command.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_types_are_read_and_the_rest_is_passed_over() {
        let processes = Procfile::parse(
            "# how to run\r\nweb:  gunicorn app:app --bind=:8080\r\n\nworker: sh -c 'a: b'\nnot a line\n",
        );
        let processes = processes.processes();
        assert_eq!(processes.len(), 2);
        assert_eq!(processes["web"], "gunicorn app:app --bind=:8080");
        assert_eq!(processes["worker"], "sh -c 'a: b'");
    }
}

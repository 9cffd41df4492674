//! Lines and segment names on disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{LogError, LogLine, LogSource};

/// Appends one line to a buffer. The text must hold no line end.
pub(super) fn append(buffer: &mut Vec<u8>, sequence: u64, at: Timestamp, source: LogSource, text: &[u8]) {
    let letter = match source {
        LogSource::Stdout => 'o',
        LogSource::Stderr => 'e',
        LogSource::Platform => 'p',
    };
    buffer.extend_from_slice(format!("{sequence} {} {letter} ", at.as_microsecond()).as_bytes());
    buffer.extend_from_slice(text);
    buffer.push(b'\n');
}

/// Reads one line back, without its line end; `None` for what a torn write or a foreign hand left there.
pub(super) fn parse(line: &[u8]) -> Option<LogLine> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let sequence = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let micros = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let source = match fields.next()? {
        b"o" => LogSource::Stdout,
        b"e" => LogSource::Stderr,
        b"p" => LogSource::Platform,
        _ => return None,
    };
    Some(LogLine {
        sequence,
        at: Timestamp::from_microsecond(micros).ok()?,
        source,
        text: String::from_utf8_lossy(fields.next()?).into_owned(),
    })
}

/// A segment: the sequence number of its first line, and its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn starting_at(directory: &Path, first: u64) -> Self {
        Self {
            first,
            path: directory.join(format!("{first:020}.log")),
        }
    }
}

/// All segments, oldest first. A directory that does not exist has none.
pub(super) fn segments(directory: &Path) -> Result<Vec<Segment>, LogError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LogError::on("list", directory)(error)),
    };
    let mut segments: Vec<Segment> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let path = entry.path();
            let first = path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some(Segment { first, path })
        })
        .collect();
    segments.sort();
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_with_its_spaces() {
        let at = Timestamp::from_microsecond(1_763_831_723_123_456).unwrap();
        let mut buffer = Vec::new();
        append(&mut buffer, 7, at, LogSource::Stderr, b" two  spaces ");
        assert_eq!(buffer, b"7 1763831723123456 e  two  spaces \n");
        let line = parse(buffer.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((line.sequence, line.at, line.source), (7, at, LogSource::Stderr));
        assert_eq!(line.text, " two  spaces ");
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(parse(b"1 5 o ").unwrap().text, "");
    }

    #[test]
    fn torn_lines_are_skipped() {
        for torn in ["", "12", "12 17", "12 17 o", "x 17 o text", "12 17 q text"] {
            assert_eq!(parse(torn.as_bytes()), None, "{torn}");
        }
    }
}

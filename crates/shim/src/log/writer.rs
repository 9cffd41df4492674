//! Appends lines, starts new segments, removes the oldest.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{LogError, LogLimits, LogReader, LogSource, format};

/// Lines are gathered up to this before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// The one writer of a log. What is not yet flushed is lost with it.
#[derive(Debug)]
pub struct LogWriter {
    directory: PathBuf,
    limits: LogLimits,
    next_sequence: u64,
    segment: Option<(File, u64)>,
    buffer: Vec<u8>,
    /// Lines that could not be written since the last success.
    lost_lines: u64,
    buffered_lines: u64,
}

impl LogWriter {
    /// Opens or creates a log; goes on with its numbering.
    pub fn open(directory: &Path, limits: LogLimits) -> Result<Self, LogError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(LogError::on("create", directory))?;
        let next_sequence = LogReader::last_sequence(directory)?.map_or(1, |last| last + 1);
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            next_sequence,
            segment: None,
            buffer: Vec::new(),
            lost_lines: 0,
            buffered_lines: 0,
        })
    }

    /// Adds one line, which must hold no line end (a splitter's lines do not). Writes through when the buffer is full.
    pub fn line(&mut self, source: LogSource, at: Timestamp, text: &[u8]) {
        format::append(&mut self.buffer, self.next_sequence, at, source, text);
        self.next_sequence += 1;
        self.buffered_lines += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            // A full disk must not stop the app: the loss is counted and told as soon as there is room.
            let _ = self.flush();
        }
    }

    /// Writes everything out to the kernel. On failure the lines are lost and counted; later lines tell how many.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let outcome = self.write_out();
        match outcome {
            Ok(()) if self.lost_lines > 0 => self.tell_loss(),
            Ok(()) => {}
            Err(_) => self.lost_lines += self.buffered_lines,
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        self.buffered_lines = 0;
        outcome
    }

    fn tell_loss(&mut self) {
        let text = format!(
            "{} lines before this one could not be written to the log",
            self.lost_lines
        );
        self.lost_lines = 0;
        self.buffer.clear();
        self.buffered_lines = 0;
        self.line(LogSource::Platform, Timestamp::now(), text.as_bytes());
        if self.write_out().is_err() {
            self.lost_lines += 1;
        }
    }

    fn write_out(&mut self) -> Result<(), LogError> {
        let first = self.next_sequence - self.buffered_lines;
        let length = self.buffer.len() as u64;
        if self
            .segment
            .as_ref()
            .is_some_and(|(_, size)| *size > 0 && size + length > self.limits.segment_bytes)
        {
            self.segment = None;
        }
        let (file, size) = match &mut self.segment {
            Some(segment) => segment,
            None => self
                .segment
                .insert(open_segment(&self.directory, first, length, self.limits)?),
        };
        let written = file.write_all(&self.buffer);
        if let Err(error) = written {
            // A torn line would make the next one unreadable.
            let _ = file.set_len(*size);
            return Err(LogError::on("write", &self.directory)(error));
        }
        *size += length;
        Ok(())
    }
}

/// Goes on with the newest segment where that has room: who opens a log for every line would have a segment for every line.
fn open_segment(
    directory: &Path,
    first: u64,
    length: u64,
    limits: LogLimits,
) -> Result<(File, u64), LogError> {
    let newest = format::segments(directory)?.pop();
    if let Some(newest) = newest
        && let Some((file, size)) = reopen(&newest.path)?
        && size + length <= limits.segment_bytes
    {
        return Ok((file, size));
    }
    start_segment(directory, first, limits)
}

/// `None` when its last line is torn: a writer was killed.
fn reopen(path: &Path) -> Result<Option<(File, u64)>, LogError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .open(path)
        .map_err(LogError::on("open", path))?;
    let size = file.metadata().map_err(LogError::on("look at", path))?.len();
    let mut last = [0];
    if let Some(end) = size.checked_sub(1) {
        file.read_exact_at(&mut last, end)
            .map_err(LogError::on("read", path))?;
    }
    Ok((last == [b'\n']).then_some((file, size)))
}

/// Creates a segment and removes those that are too many with it.
fn start_segment(directory: &Path, first: u64, limits: LogLimits) -> Result<(File, u64), LogError> {
    let mut existing = format::segments(directory)?;
    while existing.len() >= limits.segments.max(1) {
        let oldest = existing.remove(0);
        fs::remove_file(&oldest.path).map_err(LogError::on("remove", &oldest.path))?;
    }
    let path = format::Segment::starting_at(directory, first).path;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(LogError::on("create", &path))?;
    let size = file.metadata().map_err(LogError::on("look at", &path))?.len();
    Ok((file, size))
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(directory: &Path) -> Vec<String> {
        let mut reader = LogReader::open(directory, None, None).unwrap();
        let mut texts = Vec::new();
        loop {
            let lines = reader.read().unwrap();
            if lines.is_empty() {
                return texts;
            }
            texts.extend(lines.into_iter().map(|line| line.text));
        }
    }

    #[test]
    fn old_segments_are_removed_and_numbers_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            segment_bytes: 100,
            segments: 2,
        };
        let mut writer = LogWriter::open(directory.path(), limits).unwrap();
        for number in 1..=20 {
            writer.line(
                LogSource::Stdout,
                Timestamp::UNIX_EPOCH,
                format!("line {number} {}", "x".repeat(20)).as_bytes(),
            );
            writer.flush().unwrap();
        }
        let segments = format::segments(directory.path()).unwrap();
        assert_eq!(segments.len(), 2);
        let kept = texts(directory.path());
        assert!(kept.len() >= 2 && kept.len() < 8, "{kept:?}");
        assert!(kept.last().unwrap().starts_with("line 20 "));

        let mut reopened = LogWriter::open(directory.path(), limits).unwrap();
        reopened.line(LogSource::Platform, Timestamp::UNIX_EPOCH, b"again");
        drop(reopened);
        assert_eq!(LogReader::last_sequence(directory.path()).unwrap(), Some(21));
    }

    #[test]
    fn a_log_that_is_opened_for_each_line_keeps_them_all() {
        let directory = tempfile::tempdir().unwrap();
        let say = |text: &str| {
            let mut writer = LogWriter::open(directory.path(), LogLimits::default()).unwrap();
            writer.line(LogSource::Platform, Timestamp::UNIX_EPOCH, text.as_bytes());
        };
        for number in 1..=30 {
            say(&format!("line {number}"));
        }
        assert_eq!(texts(directory.path()).len(), 30);
        let segments = format::segments(directory.path()).unwrap();
        assert_eq!(segments.len(), 1);
        // A torn line is left alone: what follows must be readable.
        let mut torn = OpenOptions::new().append(true).open(&segments[0].path).unwrap();
        torn.write_all(b"31 torn").unwrap();
        say("after the tear");
        assert_eq!(texts(directory.path()).last().unwrap(), "after the tear");
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("log");
        let mut writer = LogWriter::open(&gone, LogLimits::default()).unwrap();
        fs::remove_dir(&gone).unwrap();
        writer.line(LogSource::Stdout, Timestamp::UNIX_EPOCH, b"one");
        writer.line(LogSource::Stdout, Timestamp::UNIX_EPOCH, b"two");
        writer.flush().unwrap_err();
        fs::create_dir(&gone).unwrap();
        writer.line(LogSource::Stdout, Timestamp::UNIX_EPOCH, b"three");
        writer.flush().unwrap();
        assert_eq!(
            texts(&gone),
            ["three", "2 lines before this one could not be written to the log"]
        );
    }
}

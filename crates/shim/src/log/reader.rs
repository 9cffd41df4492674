//! Reads a log from any place, while it is written and rotated.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{LINE_BYTES_MAX, LogError, LogLine, format};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// So much holds a whole line wherever it begins.
const WINDOW_BYTES: u64 = 2 * (LINE_BYTES_MAX as u64 + 64);

/// Whether there is a log.
pub fn has_log(directory: &Path) -> bool {
    directory.is_dir()
}

/// A place in a log. Each [`LogReader::read`] goes on where the last one ended.
#[derive(Debug)]
pub struct LogReader {
    directory: PathBuf,
    /// Lines up to this one are not delivered (again).
    after: u64,
    open: Option<OpenSegment>,
    /// Lines that were read while a segment was left, not yet delivered.
    ready: VecDeque<LogLine>,
}

#[derive(Debug)]
struct OpenSegment {
    first: u64,
    path: PathBuf,
    file: File,
    /// The start of a line whose end is not written yet.
    unfinished: Vec<u8>,
}

impl LogReader {
    /// Starts after the line `after`, and of what is there now delivers only the last `tail` lines.
    pub fn open(directory: &Path, tail: Option<usize>, after: Option<u64>) -> Result<Self, LogError> {
        let mut after = after.unwrap_or(0);
        if let Some(tail) = tail {
            // Lines are numbered without gaps.
            let last = Self::last_sequence(directory)?.unwrap_or(0);
            let tail = u64::try_from(tail).unwrap_or(u64::MAX);
            after = after.max(last.saturating_sub(tail));
        }
        Ok(Self {
            directory: directory.to_owned(),
            after,
            open: None,
            ready: VecDeque::new(),
        })
    }

    /// The number of the last whole line, if there is any.
    pub fn last_sequence(directory: &Path) -> Result<Option<u64>, LogError> {
        for segment in format::segments(directory)?.into_iter().rev() {
            let mut file = match File::open(&segment.path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LogError::on("open", &segment.path)(error)),
            };
            let last = last_line(&mut file).map_err(LogError::on("read", &segment.path))?;
            if let Some(line) = last {
                return Ok(Some(line.sequence));
            }
        }
        Ok(None)
    }

    /// The next lines, in order; none when all that is written was delivered. Bounded per call: read again until it is empty.
    pub fn read(&mut self) -> Result<Vec<LogLine>, LogError> {
        if !self.ready.is_empty() {
            return Ok(self.ready.drain(..).collect());
        }
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(Vec::new());
            }
            let lines = self.read_chunk()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            if !self.move_on()? {
                return Ok(Vec::new());
            }
        }
    }

    /// Opens the segment that holds the next line; false when there is none.
    fn open_next(&mut self) -> Result<bool, LogError> {
        loop {
            let segments = format::segments(&self.directory)?;
            let position = segments.partition_point(|segment| segment.first <= self.after + 1);
            let Some(segment) = segments.into_iter().nth(position.saturating_sub(1)) else {
                return Ok(false);
            };
            match File::open(&segment.path) {
                Ok(mut file) => {
                    go_to(&mut file, self.after).map_err(LogError::on("read", &segment.path))?;
                    self.open = Some(OpenSegment {
                        first: segment.first,
                        path: segment.path,
                        file,
                        unfinished: Vec::new(),
                    });
                    return Ok(true);
                }
                // Rotated away in this moment, and not listed the next time.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::on("open", &segment.path)(error)),
            }
        }
    }

    /// Lines of the open segment; reads on over chunks that only hold lines to be skipped.
    fn read_chunk(&mut self) -> Result<Vec<LogLine>, LogError> {
        let Some(segment) = &mut self.open else {
            return Ok(Vec::new());
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut lines = Vec::new();
        while lines.is_empty() {
            let count = segment
                .file
                .read(&mut chunk)
                .map_err(LogError::on("read", &segment.path))?;
            if count == 0 {
                break;
            }
            segment.unfinished.extend_from_slice(&chunk[..count]);
            let Some(end) = segment.unfinished.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let whole = segment.unfinished.split_off(end + 1);
            let whole = std::mem::replace(&mut segment.unfinished, whole);
            lines.extend(
                whole[..end]
                    .split(|byte| *byte == b'\n')
                    .filter_map(format::parse)
                    .filter(|line| line.sequence > self.after),
            );
        }
        if let Some(last) = lines.last() {
            self.after = last.sequence;
        }
        Ok(lines)
    }

    /// Leaves a segment that has a successor. Whatever was appended to it was so before the successor was made, so one more
    /// look at it is enough; false when it is still the newest.
    fn move_on(&mut self) -> Result<bool, LogError> {
        let Some(current) = &self.open else {
            return Ok(false);
        };
        let current_first = current.first;
        let segments = format::segments(&self.directory)?;
        let Some(next) = segments.into_iter().find(|segment| segment.first > current_first) else {
            return Ok(false);
        };
        let rest = self.read_chunk()?;
        self.ready.extend(rest);
        self.after = self.after.max(next.first - 1);
        self.open = None;
        if !self.ready.is_empty() {
            return Ok(true);
        }
        self.open_next()
    }
}

/// Goes to the start of a line that is not far before the one that follows `after`: a long log is not read to skip it.
fn go_to(file: &mut File, after: u64) -> std::io::Result<()> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    // The line at `low` is the first of the file or not wanted.
    while after > 0 && high - low > CHUNK_BYTES as u64 {
        let middle = low + (high - low) / 2;
        match first_line_after(file, middle)? {
            Some((start, sequence)) if sequence <= after && start < high => low = start,
            _ => high = middle,
        }
    }
    file.seek(SeekFrom::Start(low)).map(drop)
}

/// Where the first line that begins behind `offset` begins, and its number.
fn first_line_after(file: &mut File, offset: u64) -> std::io::Result<Option<(u64, u64)>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(WINDOW_BYTES).read_to_end(&mut bytes)?;
    let mut start = offset;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    start += lines.next().map_or(0, <[u8]>::len) as u64;
    for line in lines {
        if let Some(line) = line.strip_suffix(b"\n").and_then(format::parse) {
            return Ok(Some((start, line.sequence)));
        }
        start += line.len() as u64;
    }
    Ok(None)
}

/// The last whole line of a file.
fn last_line(file: &mut File) -> std::io::Result<Option<LogLine>> {
    // The last whole line and one torn one fit into the window.
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(WINDOW_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(WINDOW_BYTES).read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    Ok(bytes[..end]
        .split(|byte| *byte == b'\n')
        .rev()
        .find_map(format::parse))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{super::*, *};

    const SMALL: LogLimits = LogLimits {
        segment_bytes: 60,
        segments: 3,
    };

    fn write(writer: &mut LogWriter, texts: &[&str]) {
        for text in texts {
            writer.line(LogSource::Stdout, Timestamp::UNIX_EPOCH, text.as_bytes());
            writer.flush().unwrap();
        }
    }

    fn read_all(reader: &mut LogReader) -> Vec<u64> {
        let mut sequences = Vec::new();
        loop {
            let lines = reader.read().unwrap();
            if lines.is_empty() {
                return sequences;
            }
            sequences.extend(lines.into_iter().map(|line| line.sequence));
        }
    }

    #[test]
    fn a_follower_sees_every_line_once_across_segments() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path(), SMALL).unwrap();
        let mut reader = LogReader::open(directory.path(), None, None).unwrap();
        assert!(read_all(&mut reader).is_empty());
        write(&mut writer, &["a", "b", "c"]);
        assert_eq!(read_all(&mut reader), [1, 2, 3]);
        write(&mut writer, &["d", "e", "f", "g", "h"]);
        assert_eq!(read_all(&mut reader), [4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_follower_that_was_too_slow_goes_on_with_what_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path(), SMALL).unwrap();
        let mut reader = LogReader::open(directory.path(), None, None).unwrap();
        write(&mut writer, &["a"]);
        assert_eq!(read_all(&mut reader), [1]);
        write(&mut writer, &["x"; 40]);
        let rest = read_all(&mut reader);
        assert!(rest.windows(2).all(|pair| pair[0] < pair[1]), "{rest:?}");
        assert_eq!(rest.last(), Some(&41));
    }

    #[test]
    fn tail_and_after_choose_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path(), LogLimits::default()).unwrap();
        write(&mut writer, &["a", "b", "c", "d", "e"]);
        let place = |tail, after| read_all(&mut LogReader::open(directory.path(), tail, after).unwrap());
        assert_eq!(place(Some(2), None), [4, 5]);
        assert_eq!(place(None, Some(3)), [4, 5]);
        assert_eq!(place(Some(3), Some(3)), [4, 5]);
        assert_eq!(place(Some(0), None), [0_u64; 0]);
        assert_eq!(place(None, Some(99)), [0_u64; 0]);
    }

    /// Of a log of some chunks, so that its lines are looked for and not read one by one.
    #[test]
    fn every_place_of_a_long_segment_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path(), LogLimits::default()).unwrap();
        let lines: u64 = 3000;
        for number in 0..lines {
            let text = vec![b'x'; usize::try_from(number * 7919 % 900).unwrap()];
            writer.line(LogSource::Stdout, Timestamp::UNIX_EPOCH, &text);
        }
        writer.flush().unwrap();
        for after in (0..lines).step_by(97).chain([lines - 1, lines]) {
            let expected: Vec<u64> = (after + 1..=lines).collect();
            let mut reader = LogReader::open(directory.path(), None, Some(after)).unwrap();
            assert!(read_all(&mut reader) == expected, "after {after}");
            let path = format::Segment::starting_at(directory.path(), 1).path;
            let mut file = File::open(path).unwrap();
            go_to(&mut file, after).unwrap();
            let skipped = file.stream_position().unwrap();
            let near = read_through(directory.path(), after).saturating_sub(skipped);
            assert!(
                near <= 2 * CHUNK_BYTES as u64,
                "after {after}: {near} bytes too early"
            );
        }
        let mut reader = LogReader::open(directory.path(), Some(5), None).unwrap();
        assert_eq!(read_all(&mut reader), (lines - 4..=lines).collect::<Vec<u64>>());
    }

    /// The offset behind the line.
    fn read_through(directory: &Path, line: u64) -> u64 {
        let text = std::fs::read(format::Segment::starting_at(directory, 1).path).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.take(usize::try_from(line).unwrap());
        whole.map(|line| line.len() as u64).sum()
    }

    #[test]
    fn after_finds_its_segment_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            segments: 100,
            ..SMALL
        };
        let mut writer = LogWriter::open(directory.path(), limits).unwrap();
        write(&mut writer, &["x"; 40]);
        assert_eq!(
            read_all(&mut LogReader::open(directory.path(), None, Some(37)).unwrap()),
            [38, 39, 40]
        );
    }

    #[test]
    fn a_line_is_delivered_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut reader = LogReader::open(directory.path(), None, None).unwrap();
        let path = format::Segment::starting_at(directory.path(), 1).path;
        std::fs::write(&path, "1 5 o hel").unwrap();
        assert!(read_all(&mut reader).is_empty());
        std::fs::write(&path, "1 5 o hello\n").unwrap();
        assert_eq!(read_all(&mut reader), [1]);
    }
}

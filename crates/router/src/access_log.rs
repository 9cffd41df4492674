//! The access log: one JSON line per request. Lines are gathered per thread and written by a thread of their own; when the disk
//! does not keep up, they are dropped and counted.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::serve::shared::lock;

/// A thread's lines are passed on when they are longer than this, and twice a second.
const BATCH_BYTES: usize = 32 << 10;
/// Batches that wait for the disk: 4 MB of lines at most.
const BATCHES_WAITING_MAX: usize = 128;
/// Batches' memory kept for use.
const SPARE_MAX: usize = 8;

/// One request, for the log. The query is left out: it may hold secrets.
#[derive(Debug)]
pub struct Line<'l> {
    pub host: &'l [u8],
    pub method: &'l str,
    pub path: &'l str,
    pub status: u16,
    pub bytes: u64,
    pub duration_us: u64,
    pub visitor: &'l [u8],
    pub endpoint: Option<&'l str>,
    pub detail: Option<&'l str>,
    pub request_id: &'l [u8],
}

#[derive(Debug)]
pub struct AccessLog {
    sender: SyncSender<Batch>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    dropped: AtomicU64,
    /// Memory of batches that were written, for the next ones.
    spare: Mutex<Vec<Vec<u8>>>,
    /// Two processes write the same file while one replaces the other; only the newer one rotates it.
    rotates: AtomicBool,
}

#[derive(Debug)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

/// One thread's lines on their way.
#[derive(Debug, Default)]
pub struct LogBuffer {
    text: Vec<u8>,
    lines: u64,
    /// The last second that was formatted, and its text.
    second: u64,
    second_text: String,
}

/// Where the lines go.
#[derive(Debug)]
pub struct Rotation {
    pub path: PathBuf,
    pub bytes_max: u64,
    pub files_kept: u32,
}

#[derive(Debug)]
struct Writer {
    rotation: Rotation,
    state: Arc<State>,
    file: File,
    bytes: u64,
}

impl AccessLog {
    /// Opens the log and starts its thread, which ends when the log is closed or dropped, and all lines are written.
    pub fn open(rotation: Rotation) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(BATCHES_WAITING_MAX);
        let state = Arc::new(State {
            dropped: AtomicU64::new(0),
            spare: Mutex::default(),
            rotates: AtomicBool::new(true),
        });
        let (file, bytes) = append_to(&rotation.path)?;
        let writer = Writer {
            rotation,
            state: Arc::clone(&state),
            file,
            bytes,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&receiver))?;
        Ok((Self { sender, state }, thread))
    }

    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Ends the log's thread after the lines that were passed on so far.
    pub fn close(&self) {
        let _ = self.sender.send(Batch {
            text: Vec::new(),
            lines: 0,
        });
    }

    pub fn leave_rotation_to_successor(&self) {
        self.state.rotates.store(false, Ordering::Relaxed);
    }
}

impl LogBuffer {
    pub fn add(&mut self, line: &Line<'_>, log: &AccessLog) {
        self.write(line, SystemTime::now());
        if self.text.len() >= BATCH_BYTES {
            self.flush(log);
        }
    }

    pub fn flush(&mut self, log: &AccessLog) {
        if self.lines == 0 {
            return;
        }
        let empty = lock(&log.state.spare).pop().unwrap_or_default();
        let text = std::mem::replace(&mut self.text, empty);
        let batch = Batch {
            text,
            lines: std::mem::take(&mut self.lines),
        };
        let lines = batch.lines;
        if log.sender.try_send(batch).is_err() {
            log.state.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    fn write(&mut self, line: &Line<'_>, now: SystemTime) {
        self.lines += 1;
        self.text.extend_from_slice(b"{\"time\":\"");
        self.write_time(now);
        self.text.extend_from_slice(b"\",\"host\":");
        write_text(&mut self.text, line.host);
        self.text.extend_from_slice(b",\"method\":");
        write_text(&mut self.text, line.method.as_bytes());
        self.text.extend_from_slice(b",\"path\":");
        write_text(&mut self.text, line.path.as_bytes());
        self.text.extend_from_slice(b",\"status\":");
        write_number(&mut self.text, line.status.into(), 1);
        self.text.extend_from_slice(b",\"bytes\":");
        write_number(&mut self.text, line.bytes, 1);
        self.text.extend_from_slice(b",\"ms\":");
        write_number(&mut self.text, line.duration_us / 1000, 1);
        self.text.push(b'.');
        write_number(&mut self.text, line.duration_us % 1000, 3);
        self.text.extend_from_slice(b",\"visitor\":");
        write_text(&mut self.text, line.visitor);
        for (name, value) in [(",\"endpoint\":", line.endpoint), (",\"detail\":", line.detail)] {
            if let Some(value) = value {
                self.text.extend_from_slice(name.as_bytes());
                write_text(&mut self.text, value.as_bytes());
            }
        }
        self.text.extend_from_slice(b",\"request_id\":");
        write_text(&mut self.text, line.request_id);
        self.text.extend_from_slice(b"}\n");
    }

    /// Formats a second once, not once per line.
    fn write_time(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.second_text.is_empty() {
            self.second = since.as_secs();
            let seconds = i64::try_from(self.second).unwrap_or(i64::MAX);
            let text = jiff::Timestamp::from_second(seconds)
                .unwrap_or(jiff::Timestamp::MAX)
                .to_string();
            text.trim_end_matches('Z').clone_into(&mut self.second_text);
        }
        self.text.extend_from_slice(self.second_text.as_bytes());
        self.text.push(b'.');
        write_number(&mut self.text, since.subsec_millis().into(), 3);
        self.text.push(b'Z');
    }
}

/// A number with at least so many digits.
fn write_number(into: &mut Vec<u8>, mut number: u64, digits_min: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 || digits.len() - first < digits_min {
        first -= 1;
        digits[first] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
    }
    into.extend_from_slice(&digits[first..]);
}

/// A JSON string; what is no UTF-8 is replaced.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches many bytes are compared at once"
)]
fn write_text(into: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) & (*byte != b'"') & (*byte != b'\\');
    // Looks at every byte, many at once: that costs less than stopping at the first odd one.
    if text.iter().fold(true, |all, byte| all & plain(byte)) {
        into.push(b'"');
        into.extend_from_slice(text);
        into.push(b'"');
    } else {
        let _ = serde_json::to_writer(into, &String::from_utf8_lossy(text));
    }
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Batch>) {
        while let Ok(batch) = receiver.recv() {
            if batch.lines == 0 {
                return;
            }
            if self.write(&batch.text).is_err() {
                self.state.dropped.fetch_add(batch.lines, Ordering::Relaxed);
            }
            let mut text = batch.text;
            text.clear();
            let mut spare = lock(&self.state.spare);
            if spare.len() < SPARE_MAX {
                spare.push(text);
            }
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.was_rotated_away() {
            self.reopen()?;
        }
        if self.bytes > self.rotation.bytes_max && self.state.rotates.load(Ordering::Relaxed) {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn was_rotated_away(&self) -> bool {
        let (Ok(ours), Ok(there)) = (self.file.metadata(), std::fs::metadata(&self.rotation.path)) else {
            return true;
        };
        (ours.dev(), ours.ino()) != (there.dev(), there.ino())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.rotation.files_kept).rev() {
            rename_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        if self.rotation.files_kept == 0 {
            std::fs::remove_file(&self.rotation.path)?;
        } else {
            rename_if_there(&self.rotation.path, &self.numbered(1))?;
        }
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.bytes) = append_to(&self.rotation.path)?;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.rotation.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(path: &str) -> Line<'_> {
        Line {
            host: b"shop.localhost",
            method: "GET",
            path,
            status: 200,
            bytes: 12,
            duration_us: 1_045,
            visitor: b"127.0.0.1",
            endpoint: Some("web-1"),
            detail: None,
            request_id: b"abc",
        }
    }

    #[test]
    fn a_line_is_json_and_escapes_what_visitors_send() {
        let mut buffer = LogBuffer::default();
        buffer.write(
            &line("/a\"b\n"),
            UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        );
        let value: serde_json::Value = serde_json::from_slice(&buffer.text).unwrap();
        assert_eq!(value["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(value["path"], "/a\"b\n");
        assert_eq!(value["ms"], 1.045);
        assert_eq!(value["endpoint"], "web-1");
        assert_eq!(
            buffer.text.split(|byte| *byte == b'\n').count(),
            2,
            "one line, with its end"
        );
    }

    #[test]
    fn the_log_is_rotated_and_old_files_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("access.log");
        let (log, thread) = AccessLog::open(Rotation {
            path: path.clone(),
            bytes_max: 1,
            files_kept: 2,
        })
        .unwrap();
        let mut buffer = LogBuffer::default();
        for path in ["/1", "/2", "/3", "/4"] {
            buffer.write(&line(path), SystemTime::now());
            buffer.flush(&log);
        }
        drop(log);
        thread.join().unwrap();
        let paths = |name: &str| {
            let text = std::fs::read_to_string(place.path().join(name)).unwrap();
            let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
            line["path"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            [paths("access.log"), paths("access.log.1"), paths("access.log.2")],
            ["/4", "/3", "/2"]
        );
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 3);
    }

    #[test]
    fn lines_are_dropped_and_counted_when_nobody_writes() {
        let (sender, _receiver) = sync_channel(1);
        let state = Arc::new(State {
            dropped: AtomicU64::new(0),
            spare: Mutex::default(),
            rotates: AtomicBool::new(true),
        });
        let log = AccessLog { sender, state };
        let mut buffer = LogBuffer::default();
        for _ in 0..3 {
            buffer.write(&line("/"), SystemTime::now());
            buffer.flush(&log);
        }
        assert_eq!(log.dropped(), 2);
    }
}

//! What a copy may take, and how far it is.

use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// More than any image has.
const ENTRIES_MAX: u64 = 4_000_000;
const BYTES_MAX: u64 = 64 << 30;

/// One descriptor of source and target each is open per level.
const DEPTH_MAX: u32 = 256;

/// An image of some gigabytes on a slow disk.
const DEADLINE: Duration = Duration::from_mins(15);

/// Left free on the disk, for everything else that the platform writes.
const FREE_BYTES_MIN: u64 = 512 << 20;

/// How often the disk's free space is looked at.
const FREE_SPACE_STEP: u64 = 64 << 20;

/// How often the log tells about a copy that takes long.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

pub(super) struct Budget {
    source: PathBuf,
    entries: u64,
    bytes: u64,
    /// The number of bytes at which the free space is looked at.
    look_at: u64,
    began: Instant,
    report_at: Instant,
}

impl Budget {
    pub(super) fn new(source: &Path) -> Self {
        let now = Instant::now();
        Self {
            source: source.to_owned(),
            entries: 0,
            bytes: 0,
            look_at: 0,
            began: now,
            report_at: now + REPORT_PERIOD,
        }
    }

    /// Before an entry is copied.
    pub(super) fn entry(&mut self, depth: u32) -> io::Result<()> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return over(format!("it has more than {ENTRIES_MAX} files"));
        }
        if depth > DEPTH_MAX {
            return over(format!(
                "its directories are nested more than {DEPTH_MAX} levels deep"
            ));
        }
        self.look_at_time()
    }

    /// Before bytes are written to a file system.
    pub(super) fn write(&mut self, bytes: u64, to: BorrowedFd<'_>) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX {
            return over(format!("it has more than {BYTES_MAX} bytes"));
        }
        if self.bytes >= self.look_at {
            self.look_at = self.bytes + FREE_SPACE_STEP;
            let status = rustix::fs::fstatvfs(to)?;
            if status.f_bavail * status.f_frsize < FREE_BYTES_MIN + FREE_SPACE_STEP {
                let text = format!("less than {FREE_BYTES_MIN} bytes would be left on the disk");
                return Err(io::Error::new(io::ErrorKind::StorageFull, text));
            }
        }
        self.look_at_time()
    }

    fn look_at_time(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if now > self.began + DEADLINE {
            let text = format!("it took longer than {DEADLINE:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        if now > self.report_at {
            self.report_at = now + REPORT_PERIOD;
            self.report("copying");
        }
        Ok(())
    }

    pub(super) fn report(&self, what: &str) {
        tracing::info!(
            layer = %self.source.display(),
            files = self.entries,
            mebibytes = self.bytes >> 20,
            seconds = self.began.elapsed().as_secs_f32(),
            "{what} a layer with an app's file owners"
        );
    }
}

fn over(limit: String) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::QuotaExceeded, limit))
}

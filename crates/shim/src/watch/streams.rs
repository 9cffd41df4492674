//! The app's standard output and error, line by line into the log.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use jiff::Timestamp;
use mainstay_shim::log::{LineSplitter, LogSource, LogWriter};

use super::set_nonblocking;

/// What a pipe holds by default: one read empties it.
const READ_BYTES: usize = 64 * 1024;

/// At the end, everything that is in the pipe is read; a pipe cannot hold more than this (`/proc/sys/fs/pipe-max-size` and change).
const REST_READS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct AppStream {
    source: LogSource,
    /// `None` once every process has closed its end.
    pipe: Option<OwnedFd>,
    splitter: LineSplitter,
}

impl AppStream {
    pub(super) fn new(source: LogSource, pipe: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&pipe)?;
        Ok(Self {
            source,
            pipe: Some(pipe),
            splitter: LineSplitter::default(),
        })
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(OwnedFd::as_fd)
    }

    /// Takes what is there, once.
    pub(super) fn read_into(&mut self, log: &mut LogWriter) {
        self.read_once(log);
    }

    /// Takes all that is left, unfinished line included, and closes.
    pub(super) fn finish(&mut self, log: &mut LogWriter) {
        for _ in 0..REST_READS_MAX {
            if !self.read_once(log) {
                break;
            }
        }
        self.pipe = None;
        let now = Timestamp::now();
        let source = self.source;
        self.splitter.finish(|line| log.line(source, now, line));
    }

    /// Whether there may be more.
    fn read_once(&mut self, log: &mut LogWriter) -> bool {
        let Some(pipe) = &self.pipe else {
            return false;
        };
        let mut buffer = vec![0; READ_BYTES];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                false
            }
            Ok(count) => {
                let now = Timestamp::now();
                let source = self.source;
                self.splitter
                    .push(&buffer[..count], |line| log.line(source, now, line));
                true
            }
            Err(rustix::io::Errno::AGAIN) => false,
            Err(rustix::io::Errno::INTR) => true,
            Err(_) => {
                self.pipe = None;
                false
            }
        }
    }
}

//! Limits against archives that unpack to far more than they weigh, and the reader that counts and hashes.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::hex;

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub bytes: u64,
    pub entries: u64,
}

impl Limits {
    /// A toolchain: the largest known (Go) has 12,000 entries and 300 MB.
    pub const TOOL: Self = Self {
        bytes: 4 << 30,
        entries: 400_000,
    };
    /// A layer of an image, unless the caller has a disk budget.
    pub const LAYER: Self = Self {
        bytes: 32 << 30,
        entries: 2_000_000,
    };
}

/// The error inside `io::Error` when the limit is hit.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} bytes")]
pub(super) struct OverLimit {
    pub(super) limit: u64,
}

/// Passes bytes on, counts and hashes them, and fails beyond a limit.
pub(super) struct Counted<R> {
    inner: R,
    bytes: u64,
    limit: u64,
    hash: Sha256,
}

impl<R: Read> Counted<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            bytes: 0,
            limit,
            hash: Sha256::new(),
        }
    }

    /// The number of bytes, and their SHA-256 in hex.
    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, hex(self.hash))
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.bytes += length as u64;
        if self.bytes > self.limit {
            return Err(io::Error::other(OverLimit { limit: self.limit }));
        }
        Ok(length)
    }
}

//! A file's content in pieces. What the page cache holds is read at once; what must come from the disk is read on another thread,
//! so that a slow disk does not hold up a serving thread.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::Frame;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use super::{
    files::OpenFile,
    piece::{PIECE_BYTES, Piece},
};
use crate::proxy::body::Source;

#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    offset: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// The bytes from `start` to `end`; small files are read whole, so that a failure to read still has an answer.
    pub async fn start(file: OpenFile, start: u64, end: u64) -> io::Result<Source> {
        let mut body = Self {
            file: Arc::new(file.file),
            offset: start,
            end,
            reading: None,
        };
        if end - start > PIECE_BYTES as u64 {
            return Ok(Source::File(body));
        }
        let whole = std::future::poll_fn(|context| body.poll_piece(context)).await;
        Ok(Source::Full(whole.transpose()?.unwrap_or_default()))
    }

    pub fn left(&self) -> u64 {
        self.end - self.offset
    }

    pub fn is_end(&self) -> bool {
        self.left() == 0
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_piece(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.is_end() {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            if let Some(piece) = self.read_cached() {
                return Poll::Ready(Some(piece.and_then(|piece| self.accept(piece))));
            }
            self.reading = Some(self.read_elsewhere());
        }
        let reading = self.reading.as_mut().expect("it was started just above");
        let piece =
            ready!(Pin::new(reading).poll(context)).unwrap_or_else(|error| Err(io::Error::other(error)));
        self.reading = None;
        Poll::Ready(Some(piece.and_then(|piece| self.accept(piece))))
    }

    /// A file that became shorter breaks the answer off instead of filling it up.
    fn accept(&mut self, piece: Bytes) -> io::Result<Bytes> {
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += piece.len() as u64;
        Ok(piece)
    }

    /// How much of the next piece belongs to the answer.
    fn wanted(&self) -> usize {
        usize::try_from(self.left()).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
    }

    /// `None` where the kernel would have to wait for the disk, or cannot tell.
    fn read_cached(&self) -> Option<io::Result<Bytes>> {
        let mut piece = Piece::take();
        let read = preadv2(
            &*self.file,
            &mut [IoSliceMut::new(&mut piece.memory()[..self.wanted()])],
            self.offset,
            ReadWriteFlags::NOWAIT,
        );
        match read {
            Ok(length) => Some(Ok(piece.filled(length))),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    fn read_elsewhere(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, mut piece) = (Arc::clone(&self.file), Piece::take());
        let (offset, wanted) = (self.offset, self.wanted());
        tokio::task::spawn_blocking(move || {
            let length = file.read_at(&mut piece.memory()[..wanted], offset)?;
            Ok(piece.filled(length))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(bytes: &[u8], promised: u64) -> FileBody {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        FileBody {
            file: Arc::new(File::open(path).unwrap()),
            offset: 0,
            end: promised,
            reading: None,
        }
    }

    async fn collect(body: &mut FileBody) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|context| body.poll_piece(context)).await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn large_files_come_in_pieces_and_complete() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut body = body_of(&content, content.len() as u64);
        assert_eq!(collect(&mut body).await.unwrap(), content);
        assert!(body.is_end());
    }

    #[tokio::test]
    async fn reading_elsewhere_gives_the_same() {
        let mut body = body_of(b"hello", 5);
        body.reading = Some(body.read_elsewhere());
        assert_eq!(collect(&mut body).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_breaks_off() {
        assert_eq!(
            collect(&mut body_of(b"hello", 9)).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}

//! Memory for pieces of files, used again by the thread that sent it: fresh memory would have to be cleared, and the allocator gives
//! it back to the kernel after each file.

use std::cell::RefCell;

use bytes::Bytes;

/// Memory per piece. A download has as many of them as hyper gathers for one write (seven). Pieces of 16 KB cost a quarter more CPU.
pub const PIECE_BYTES: usize = 64 << 10;
/// Kept per thread while it is busy: what as many visitors gather as one thread usually sends files to at a time.
const SPARE_MAX: usize = 128;
/// What is left of it when the thread keeps house; about what two downloads gather.
const SPARE_KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Gives most of this thread's spare memory back.
pub fn trim() {
    SPARE.with_borrow_mut(|spare| spare.truncate(SPARE_KEPT));
}

/// Room for a piece, to be filled from the beginning.
#[derive(Debug)]
pub struct Piece {
    /// Empty only while it is dropped.
    memory: Box<[u8]>,
    length: usize,
}

impl Piece {
    pub fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let memory = spare.unwrap_or_else(|| vec![0; PIECE_BYTES].into_boxed_slice());
        Self { memory, length: 0 }
    }

    pub fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Its first bytes, which alone are shown: behind them is what another file left.
    pub fn filled(mut self, length: usize) -> Bytes {
        self.length = length.min(self.memory.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        // A thread that ends has no spare memory any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(memory);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_shows_only_what_was_filled() {
        let mut first = Piece::take();
        first.memory()[..6].copy_from_slice(b"secret");
        let first = first.filled(6);
        let place = first.as_ptr();
        drop(first);
        let mut second = Piece::take();
        second.memory()[..2].copy_from_slice(b"hi");
        let second = second.filled(2);
        assert_eq!((second.as_ptr(), &*second), (place, &b"hi"[..]));
    }

    #[test]
    fn spare_memory_is_bounded() {
        let many: Vec<Bytes> = (0..SPARE_MAX * 2).map(|_| Piece::take().filled(1)).collect();
        drop(many);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_MAX);
        trim();
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_KEPT);
    }
}

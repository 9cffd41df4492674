//! A bound for tools' output: the beginning is passed through, of the rest the end is kept.

use std::collections::VecDeque;

use mainstay_shim::log::LogSource;

/// Passed through as it comes.
const BYTES_MAX: usize = 20 << 20;
/// Kept of what comes after.
const TAIL_BYTES_MAX: usize = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Bounded {
    passed_bytes: usize,
    limit_reached: bool,
    tail: VecDeque<(LogSource, String)>,
    tail_bytes: usize,
    left_out: u64,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    Through,
    /// The first line that was kept back.
    LimitReached,
    Kept,
}

#[derive(Debug)]
pub(super) struct Tail {
    pub(super) lines: VecDeque<(LogSource, String)>,
    pub(super) left_out: u64,
}

impl Bounded {
    pub(super) fn pass(&mut self, source: LogSource, text: &str) -> Passed {
        self.passed_bytes += text.len() + 1;
        if self.passed_bytes <= BYTES_MAX {
            return Passed::Through;
        }
        self.keep(source, text);
        if std::mem::replace(&mut self.limit_reached, true) {
            Passed::Kept
        } else {
            Passed::LimitReached
        }
    }

    fn keep(&mut self, source: LogSource, text: &str) {
        self.tail_bytes += text.len() + 1;
        self.tail.push_back((source, text.to_owned()));
        while self.tail_bytes > TAIL_BYTES_MAX && self.tail.len() > 1 {
            if let Some((_, oldest)) = self.tail.pop_front() {
                self.tail_bytes -= oldest.len() + 1;
                self.left_out += 1;
            }
        }
    }

    pub(super) fn take_tail(&mut self) -> Tail {
        self.tail_bytes = 0;
        Tail {
            lines: std::mem::take(&mut self.tail),
            left_out: std::mem::take(&mut self.left_out),
        }
    }
}

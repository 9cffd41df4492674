//! Cuts a stream of bytes into lines.

use super::LINE_BYTES_MAX;

/// Holds the unfinished line of one stream.
#[derive(Debug, Default)]
pub struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next bytes of the stream and hands over each line that they complete, without its line end (`\n` or `\r\n`).
    /// A line longer than [`LINE_BYTES_MAX`] is handed over in pieces.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.unfinished.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                self.complete(&window[..end], &mut line);
                bytes = &bytes[end + 1..];
            } else if window.len() == room {
                self.complete(window, &mut line);
                bytes = &bytes[room..];
            } else {
                self.unfinished.extend_from_slice(bytes);
                return;
            }
        }
    }

    /// Hands over what is left when the stream has ended.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.unfinished.is_empty() {
            self.complete(&[], &mut line);
        }
    }

    fn complete(&mut self, last: &[u8], line: &mut impl FnMut(&[u8])) {
        if self.unfinished.is_empty() {
            line(without_carriage_return(last));
        } else {
            self.unfinished.extend_from_slice(last);
            line(without_carriage_return(&self.unfinished));
            self.unfinished = Vec::new();
        }
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_may_come_in_any_pieces() {
        let expected: Vec<Vec<u8>> = vec![b"one".into(), b"".into(), b"two".into(), b"rest".into()];
        assert_eq!(lines(&[b"one\n\ntw", b"o\r\nre", b"st"]), expected);
        let bytes: Vec<&[u8]> = b"one\n\ntwo\r\nrest".chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        let lengths: Vec<usize> = lines(&[&long[..100], &long[100..], b"\n"])
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_and_its_end_leave_nothing_over() {
        let mut long = vec![b'x'; LINE_BYTES_MAX - 1];
        long.push(b'\n');
        assert_eq!(lines(&[&long]).len(), 1);
    }
}

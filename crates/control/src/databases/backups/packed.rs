//! Files of backups whose tools do not pack them: Zstandard, so that whoever has the file unpacks it by `zstd -d`.

use std::io::{self, Write};

use mainstay_store::BackupFailure;
use zstd::stream::{
    raw::{Decoder, Operation},
    write::Encoder,
};

use super::{
    failure::Failed,
    file::{Draft, PIECE_BYTES, Stored, Written},
    tool::Sink,
};

/// Zstandard's own choice: fast beside a server that parses SQL.
const LEVEL: i32 = 3;

/// Packs what it takes into the draft of a file.
pub(in crate::databases) struct Packed {
    draft: Draft,
    encoder: Encoder<'static, Vec<u8>>,
}

impl Packed {
    pub(in crate::databases) fn new(draft: Draft) -> Result<Self, Failed> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL).map_err(|error| failed(&error))?;
        encoder.include_checksum(true).map_err(|error| failed(&error))?;
        Ok(Self { draft, encoder })
    }

    /// As [`Draft::finish`].
    pub(in crate::databases) async fn finish(mut self) -> Result<Written, Failed> {
        let rest = self.encoder.finish().map_err(|error| failed(&error))?;
        self.draft.take(rest).await?;
        self.draft.finish().await
    }
}

impl Sink for Packed {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        self.encoder.write_all(&bytes).map_err(|error| failed(&error))?;
        let packed = std::mem::take(self.encoder.get_mut());
        if packed.is_empty() {
            return Ok(());
        }
        self.draft.take(packed).await
    }
}

/// What was packed, in pieces: however small the file is, no more than one is in memory.
pub(in crate::databases) struct Unpacked {
    file: Stored,
    decoder: Decoder<'static>,
    packed: Vec<u8>,
    /// Of `packed`.
    used: usize,
    has_more: bool,
}

impl Unpacked {
    pub(in crate::databases) fn new(file: Stored) -> Result<Self, Failed> {
        Ok(Self {
            file,
            decoder: Decoder::new().map_err(|error| failed(&error))?,
            packed: Vec::new(),
            used: 0,
            has_more: false,
        })
    }

    /// The next piece; `None` at the end of a file that is what was written.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if self.used == self.packed.len() && !self.has_more {
                match self.file.next().await? {
                    Some(packed) => (self.packed, self.used) = (packed, 0),
                    None => return Ok(None),
                }
            }
            let status = self.decoder.run_on_buffers(&self.packed[self.used..], &mut piece);
            let status = status.map_err(|error| failed(&error))?;
            self.used += status.bytes_read;
            // A full piece may have left something in the decoder.
            self.has_more = status.bytes_written == piece.len();
            if status.bytes_written > 0 {
                piece.truncate(status.bytes_written);
                return Ok(Some(piece));
            }
        }
    }
}

fn failed(error: &io::Error) -> Failed {
    Failed::new(
        BackupFailure::Platform,
        format!("could not pack or unpack: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases::backups::file::tests::{config, place_of, row_of};

    #[tokio::test]
    async fn what_was_packed_is_unpacked_piece_by_piece() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        // Some that packs to nearly nothing, and some that does not pack.
        let mut content = vec![7; 40 * PIECE_BYTES];
        content.extend((0..PIECE_BYTES).map(|_| rand::random::<u8>()));
        let (database, id, path) = place_of(&config);
        let mut packed = Packed::new(Draft::create(&path, 0).unwrap()).unwrap();
        for piece in content.chunks(100_000) {
            packed.take(piece.to_vec()).await.unwrap();
        }
        let written = packed.finish().await.unwrap();
        assert!(written.bytes < 2 * PIECE_BYTES as u64, "{}", written.bytes);
        let file = Stored::open(&config, &row_of(database, id, written))
            .await
            .unwrap();
        let mut unpacked = Unpacked::new(file).unwrap();
        let mut found = Vec::new();
        while let Some(piece) = unpacked.next().await.unwrap() {
            assert!(piece.len() <= PIECE_BYTES);
            found.extend(piece);
        }
        assert!(found == content, "it differs");
    }
}

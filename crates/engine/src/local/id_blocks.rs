//! Host ids: each app has one block, so that no app's files or processes are another's.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use mainstay_shim::files::{self, Durability, FileError};
use mainstay_spec::ids::AppId;

use super::config::IDS_PER_APP;

/// The blocks in use, kept in a file.
#[derive(Debug)]
pub(super) struct IdBlocks {
    file: PathBuf,
    range: Range<u32>,
    /// The first id of each app's block.
    bases: BTreeMap<AppId, u32>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IdBlocksError {
    #[error("the blocks of host ids could not be read or kept")]
    File(#[source] FileError),
    #[error("all {blocks} blocks of host ids are in use; enlarge the id range {range:?}")]
    Exhausted { blocks: u32, range: Range<u32> },
}

impl IdBlocks {
    pub(super) fn load(file: &Path, range: Range<u32>) -> Result<Self, IdBlocksError> {
        let bases = files::read_json(file)
            .map_err(IdBlocksError::File)?
            .unwrap_or_default();
        Ok(Self {
            file: file.to_owned(),
            range,
            bases,
        })
    }

    /// The first id of the app's block; the lowest free block for a new app.
    pub(super) fn base(&mut self, app: AppId) -> Result<u32, IdBlocksError> {
        if let Some(base) = self.bases.get(&app) {
            return Ok(*base);
        }
        let blocks = (self.range.end - self.range.start) / IDS_PER_APP;
        let base = (0..blocks)
            .map(|block| self.range.start + block * IDS_PER_APP)
            .find(|base| !self.bases.values().any(|used| used == base))
            .ok_or_else(|| IdBlocksError::Exhausted {
                blocks,
                range: self.range.clone(),
            })?;
        self.bases.insert(app, base);
        self.save()?;
        Ok(base)
    }

    /// Frees the blocks of all apps but those.
    pub(super) fn retain(&mut self, keep: impl Fn(AppId) -> bool) -> Result<(), IdBlocksError> {
        let before = self.bases.len();
        self.bases.retain(|app, _| keep(*app));
        if self.bases.len() == before {
            Ok(())
        } else {
            self.save()
        }
    }

    fn save(&self) -> Result<(), IdBlocksError> {
        files::write_json(&self.file, &self.bases, Durability::PowerCut).map_err(IdBlocksError::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: u128) -> AppId {
        AppId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_block_stays_with_its_app_and_is_used_again_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids.json");
        let range = 1_000_000..1_000_000 + 2 * IDS_PER_APP;
        let mut blocks = IdBlocks::load(&file, range.clone()).unwrap();
        assert_eq!(blocks.base(app(1)).unwrap(), 1_000_000);
        assert_eq!(blocks.base(app(2)).unwrap(), 1_065_536);
        assert!(matches!(
            blocks.base(app(3)),
            Err(IdBlocksError::Exhausted { blocks: 2, .. })
        ));

        let mut reloaded = IdBlocks::load(&file, range).unwrap();
        assert_eq!(reloaded.base(app(2)).unwrap(), 1_065_536);
        reloaded.retain(|kept| kept == app(2)).unwrap();
        assert_eq!(reloaded.base(app(3)).unwrap(), 1_000_000);
    }
}

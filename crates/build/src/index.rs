//! Which builds were done: key → what came of it. One small file each; a lost or unreadable one only means to build again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{BuilderChoice, ReusedBuild};
use mainstay_images::ImageStore;
use serde::{Deserialize, Serialize};

use crate::BuildOutput;

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexEntry {
    pub(crate) output: BuildOutput,
    pub(crate) deployment: String,
    pub(crate) commit: Option<String>,
    pub(crate) built_at: Timestamp,
    pub(crate) builder: BuilderChoice,
    pub(crate) tools: Vec<(String, String)>,
    pub(crate) key_parts: Vec<(String, String)>,
    /// Identity of the whole source, when the build read files outside of its source directory: it counts for no other one.
    pub(crate) whole_source: Option<String>,
}

impl IndexEntry {
    pub(crate) fn reused(&self) -> ReusedBuild {
        ReusedBuild {
            commit: self.commit.clone(),
            deployment_id: self.deployment.clone(),
            built_at: self.built_at,
            key_parts: self.key_parts.clone(),
        }
    }

    fn image_exists(&self, store: &ImageStore) -> bool {
        let layers = store
            .image(self.output.artifact.image())
            .and_then(|record| store.layer_paths(&record));
        layers.is_ok_and(|layers| layers.iter().all(|layer| layer.is_dir()))
    }
}

#[derive(Debug)]
pub(crate) struct BuildIndex {
    directory: PathBuf,
}

impl BuildIndex {
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// The build of this key, if its image is still there and it saw the same files.
    pub(crate) fn find(&self, store: &ImageStore, key: &str, whole_source: &str) -> Option<IndexEntry> {
        let text = fs::read(self.path(key)).ok()?;
        let entry: IndexEntry = serde_json::from_slice(&text).ok()?;
        let sees_the_same = entry
            .whole_source
            .as_deref()
            .is_none_or(|seen| seen == whole_source);
        (sees_the_same && entry.image_exists(store)).then_some(entry)
    }

    /// Written beside its place and renamed, so that a reader never sees half of it.
    pub(crate) fn keep(&self, key: &str, entry: &IndexEntry) -> io::Result<()> {
        let temporary = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer_pretty(&temporary, entry)?;
        temporary.persist(self.path(key)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes entries whose image is gone; says how many.
    pub(crate) fn remove_stale(&self, store: &ImageStore) -> usize {
        let Ok(files) = fs::read_dir(&self.directory) else {
            return 0;
        };
        files
            .flatten()
            .filter(|file| is_stale(&file.path(), store) && fs::remove_file(file.path()).is_ok())
            .count()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.json"))
    }
}

fn is_stale(path: &Path, store: &ImageStore) -> bool {
    let entry = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<IndexEntry>(&text).ok());
    !entry.is_some_and(|entry| entry.image_exists(store))
}

#[cfg(test)]
mod tests {
    use mainstay_images::record::{ImageConfig, ImageId, ImageRecord};

    use super::*;
    use crate::Artifact;

    fn entry(image: ImageId, whole_source: Option<&str>) -> IndexEntry {
        IndexEntry {
            output: BuildOutput {
                artifact: Artifact::Image { image },
                key: "k".to_owned(),
                revision: "r".to_owned(),
            },
            deployment: "d".to_owned(),
            commit: None,
            built_at: Timestamp::UNIX_EPOCH,
            builder: BuilderChoice::new("go", "go.mod was found in /"),
            tools: Vec::new(),
            key_parts: Vec::new(),
            whole_source: whole_source.map(str::to_owned),
        }
    }

    fn image(store: &ImageStore) -> ImageId {
        let record = ImageRecord {
            id: store.new_image_id(),
            layers: Vec::new(),
            config: ImageConfig::default(),
            created_at: Timestamp::UNIX_EPOCH,
            origin: "test".to_owned(),
            digest: None,
        };
        store.put_image(&record).unwrap();
        record.id
    }

    #[test]
    fn builds_are_found_while_their_image_exists() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&root.path().join("store")).unwrap();
        let index = BuildIndex::open(root.path().join("index")).unwrap();
        index.keep("one", &entry(image(&store), None)).unwrap();
        index
            .keep("gone", &entry(ImageId("gone".to_owned()), None))
            .unwrap();
        assert!(index.find(&store, "one", "any").is_some());
        assert!(index.find(&store, "gone", "any").is_none());
        assert!(index.find(&store, "never", "any").is_none());
        assert_eq!(index.remove_stale(&store), 1);
    }

    #[test]
    fn a_build_that_read_outside_counts_for_the_same_source_only() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&root.path().join("store")).unwrap();
        let index = BuildIndex::open(root.path().join("index")).unwrap();
        index.keep("one", &entry(image(&store), Some("tree1"))).unwrap();
        assert!(index.find(&store, "one", "tree1").is_some());
        assert!(index.find(&store, "one", "tree2").is_none());
    }
}

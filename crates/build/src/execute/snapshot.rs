//! What a directory holds, to be compared with later.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

/// Names, sizes and change times below a directory, some parts left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, (u64, u32, i64, i64)>);

impl Snapshot {
    /// Blocks for as long as the walk takes (about 10 µs a file). Directories count by name only: their times change with what is left out.
    pub(crate) fn take(directory: &Path, left_out: &[PathBuf]) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        let walk = WalkDir::new(directory)
            .into_iter()
            .filter_entry(|entry| !left_out.iter().any(|path| path == entry.path()));
        for entry in walk {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let state = if metadata.is_dir() {
                (0, 0, 0, 0)
            } else {
                (
                    metadata.size(),
                    metadata.mode(),
                    metadata.ctime(),
                    metadata.ctime_nsec(),
                )
            };
            entries.insert(entry.into_path(), state);
        }
        Ok(Self(entries))
    }

    /// A path that is new, gone or changed in `later`, if there is one.
    pub(crate) fn first_change<'a>(&'a self, later: &'a Self) -> Option<&'a Path> {
        let changed = later
            .0
            .iter()
            .find(|(path, state)| self.0.get(*path) != Some(*state));
        let gone = || self.0.keys().find(|path| !later.0.contains_key(*path));
        changed.map(|(path, _)| path).or_else(gone).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_and_left_out_parts_are_not() {
        let root = tempfile::tempdir().unwrap();
        let left_out = [root.path().join("node_modules")];
        std::fs::create_dir(&left_out[0]).unwrap();
        std::fs::write(root.path().join("a"), "1").unwrap();
        let before = Snapshot::take(root.path(), &left_out).unwrap();
        std::fs::write(left_out[0].join("x"), "1").unwrap();
        let same = Snapshot::take(root.path(), &left_out).unwrap();
        assert_eq!(before.first_change(&same), None);
        std::fs::create_dir(root.path().join("dist")).unwrap();
        let after = Snapshot::take(root.path(), &left_out).unwrap();
        assert_eq!(
            before.first_change(&after),
            Some(root.path().join("dist").as_path())
        );
    }
}

//! Trees that were read before: a commit never changes, so its trees need not be asked for again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{CloneUrl, SourceDir, TreeIdentity, mirror};

/// Some 200 bytes each. Beyond, all are forgotten: reading one again takes git a few milliseconds.
const TREES_MAX: usize = 4096;

/// Per mirror, so that nobody learns of a commit through another's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TreeName {
    mirror: String,
    commit: String,
    source_dir: SourceDir,
}

impl TreeName {
    pub(super) fn new(url: &CloneUrl, commit: &str, source_dir: &SourceDir) -> Self {
        Self {
            mirror: mirror::name_of(url),
            commit: commit.to_owned(),
            source_dir: source_dir.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct KnownTrees(Mutex<HashMap<TreeName, TreeIdentity>>);

impl KnownTrees {
    pub(super) fn get(&self, name: &TreeName) -> Option<TreeIdentity> {
        self.lock().get(name).cloned()
    }

    pub(super) fn keep(&self, name: TreeName, identity: TreeIdentity) {
        let mut trees = self.lock();
        if trees.len() >= TREES_MAX {
            trees.clear();
        }
        trees.insert(name, identity);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TreeName, TreeIdentity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::LocalPaths, *};

    fn name(url: &str, commit: &str, source_dir: &str) -> TreeName {
        let url = CloneUrl::parse(url, &LocalPaths::Refused).unwrap();
        TreeName::new(&url, commit, &SourceDir::parse(source_dir).unwrap())
    }

    #[test]
    fn a_tree_is_known_for_its_url_commit_directory_and_credentials_only() {
        let trees = KnownTrees::default();
        let identity = TreeIdentity {
            source_dir: "1".to_owned(),
            repository: "2".to_owned(),
        };
        trees.keep(name("https://me:x@h.example/a", "c", "api"), identity.clone());
        assert_eq!(
            trees.get(&name("https://me:x@h.example/a", "c", "/api/")),
            Some(identity)
        );
        for other in [
            name("https://h.example/a", "c", "api"),
            name("https://me:y@h.example/a", "c", "api"),
            name("https://me:x@h.example/a", "d", "api"),
            name("https://me:x@h.example/a", "c", "/"),
        ] {
            assert_eq!(trees.get(&other), None, "{other:?}");
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let trees = KnownTrees::default();
        for commit in 0..=TREES_MAX {
            let identity = TreeIdentity {
                source_dir: String::new(),
                repository: String::new(),
            };
            trees.keep(name("https://h.example/a", &commit.to_string(), "/"), identity);
        }
        assert_eq!(trees.lock().len(), 1);
    }
}

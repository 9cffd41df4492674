//! The workspace: the source's files where a build works on them.

use std::{
    fs, io,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use mainstay_images::{
    ImageStore,
    record::LayerId,
    store::{LayerDraft, StoreError},
};

use crate::source::SourceDir;

/// Where the source is in build and image.
pub(crate) const APP_ROOT: &str = "/workspace";
/// User and group of buildpack builds and their apps.
pub(crate) const BUILD_USER: (u32, u32) = (1000, 1000);

/// A layer draft with the source's files at `/workspace`. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Workspace {
    draft: LayerDraft,
    source_dir: SourceDir,
}

impl Workspace {
    pub(crate) fn create(store: &ImageStore, source_dir: SourceDir) -> Result<Self, StoreError> {
        let draft = store.begin_layer()?;
        make_owned(draft.path(), &APP_ROOT[1..])?;
        Ok(Self { draft, source_dir })
    }

    /// The whole source, on this machine.
    pub(crate) fn root(&self) -> PathBuf {
        self.draft.path().join(&APP_ROOT[1..])
    }

    /// The app's directory (`source_dir`), on this machine.
    pub(crate) fn app(&self) -> PathBuf {
        self.root().join(self.source_dir.as_str())
    }

    /// The app's directory, in the container.
    pub(crate) fn app_directory(&self) -> String {
        self.source_dir.below(APP_ROOT)
    }

    /// Directories of this build, for its disk budget.
    pub(crate) fn draft_directory(&self) -> PathBuf {
        self.draft.path().to_owned()
    }

    /// Makes the app's directory a layer; the rest of the source is left out of it. Blocks.
    pub(crate) fn into_layer(self) -> Result<LayerId, StoreError> {
        if !self.source_dir.is_root() {
            let failed = |error| StoreError::File {
                operation: "take apart",
                path: self.root(),
                source: error,
            };
            keep_only(&self.root(), Path::new(self.source_dir.as_str())).map_err(failed)?;
        }
        self.draft.commit(None)
    }
}

/// Removes everything below `directory` but what lies at `kept` and the directories on the way to it.
fn keep_only(directory: &Path, kept: &Path) -> io::Result<()> {
    let mut parts = kept.components();
    let Some(first) = parts.next() else { return Ok(()) };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == first.as_os_str() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    keep_only(&directory.join(first), parts.as_path())
}

/// Makes a directory below `root` and those on the way; those that are new belong to the build user.
pub(super) fn make_owned(root: &Path, path: &str) -> Result<PathBuf, StoreError> {
    let mut place = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        place.push(part);
        let failed = |source| StoreError::File {
            operation: "create",
            path: place.clone(),
            source,
        };
        match fs::create_dir(&place) {
            Ok(()) => lchown(&place, Some(BUILD_USER.0), Some(BUILD_USER.1)).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_source_directory_stays() {
        let root = tempfile::tempdir().unwrap();
        for path in ["apps/api/main.go", "apps/web/index.html", "README.md"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        keep_only(root.path(), Path::new("apps/api")).unwrap();
        assert!(root.path().join("apps/api/main.go").exists());
        assert!(!root.path().join("apps/web").exists());
        assert!(!root.path().join("README.md").exists());
    }
}

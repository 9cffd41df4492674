//! Where everything lies on disk.
//!
//! ```text
//! <state>/shared/                       base images, read-only for builds
//! <state>/stores/<app>/<component>/     one store per component: storage/ (layers, images), tmp/ (cache mounts)
//! <run>/shared, <run>/stores/…          mount counters of those stores
//! <run>/builds/<build>/                 private Dockerfile, secrets, runtime state of one running build
//! ```

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use mainstay_spec::ids::{AppId, BuildId};

/// Directories of one container store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Store {
    /// buildah's `--root`.
    pub root: PathBuf,
    /// buildah's `--runroot`.
    pub run_root: PathBuf,
    /// `TMPDIR`: buildah keeps `RUN --mount=type=cache` below it, keyed by nothing but the target path, so it must not be shared.
    pub tmp: PathBuf,
}

/// The engine's directories.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    pub(crate) fn new(state: PathBuf, run: PathBuf) -> Self {
        Self { state, run }
    }

    pub(crate) fn shared(&self) -> Store {
        Store {
            root: self.state.join("shared/storage"),
            run_root: self.run.join("shared"),
            tmp: self.state.join("shared/tmp"),
        }
    }

    pub(crate) fn store(&self, app: AppId, component: &str) -> Store {
        self.store_at(&app.to_string(), &file_name(component))
    }

    fn store_at(&self, app: &str, component: &str) -> Store {
        let state = self.state.join("stores").join(app).join(component);
        Store {
            root: state.join("storage"),
            tmp: state.join("tmp"),
            run_root: self.run.join("stores").join(app).join(component),
        }
    }

    /// Directory of an app's stores.
    pub(crate) fn app(&self, app: AppId) -> (PathBuf, PathBuf) {
        let name = app.to_string();
        (
            self.state.join("stores").join(&name),
            self.run.join("stores").join(&name),
        )
    }

    /// All stores that exist, the shared one included.
    pub(crate) fn stores(&self) -> Vec<Store> {
        let mut stores = vec![self.shared()];
        for app in names_in(&self.state.join("stores")) {
            for component in names_in(&self.state.join("stores").join(&app)) {
                stores.push(self.store_at(&app, &component));
            }
        }
        stores
    }

    /// Those of one app.
    pub(crate) fn stores_of(&self, app: AppId) -> Vec<Store> {
        let app = app.to_string();
        let components = names_in(&self.state.join("stores").join(&app));
        components
            .iter()
            .map(|component| self.store_at(&app, component))
            .collect()
    }

    pub(crate) fn builds(&self) -> PathBuf {
        self.run.join("builds")
    }

    pub(crate) fn build(&self, build: BuildId) -> PathBuf {
        self.builds().join(build.short())
    }

    /// Settings files of buildah, the same for all builds.
    pub(crate) fn settings(&self) -> PathBuf {
        self.run.join("settings")
    }
}

impl Store {
    pub(crate) fn create(&self) -> io::Result<()> {
        for directory in [&self.root, &self.run_root, &self.tmp] {
            create_private(directory)?;
        }
        Ok(())
    }

    /// Holds a directory per layer and per working container.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.root.join("overlay")
    }
}

/// Makes a directory that only root can look into; its parents too.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default()
}

/// Component names are checked by the spec; what is not plain is still never taken as a path.
fn file_name(component: &str) -> String {
    component
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character.to_string(),
            other => format!("%{:x}", u32::from(other)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_component_names_stay_in_their_directory() {
        assert_eq!(file_name("web-1"), "web-1");
        assert_eq!(file_name("../x"), "%2e%2e%2fx");
    }
}

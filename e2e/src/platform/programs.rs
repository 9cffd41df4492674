//! The programs under test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

/// What runs servers that are not the platform's.
pub(super) const OUTSIDE_SERVER: &str = "mainstay-outside-server";
/// What a platform consists of, and what tests need beside it. The init is built on its own and may lie elsewhere.
const NAMES: [&str; 6] = [
    "mainstay",
    "mainstay-server",
    "mainstay-router",
    "mainstay-shim",
    "mainstay-init",
    OUTSIDE_SERVER,
];

/// Debian packages' programs that a platform calls.
const TOOLS: [&str; 6] = ["runc", "mmdebstrap", "nft", "ip", "git", "mount"];

/// A directory that has them all.
#[derive(Debug, Clone)]
pub struct Programs {
    directory: Arc<TempDir>,
}

impl Programs {
    /// What `MAINSTAY_PROGRAMS` (and `MAINSTAY_INIT`) name. `None`, with the reason on standard error, where this machine cannot run them;
    /// with `MAINSTAY_TEST_MUST_RUN` set that fails the test.
    pub fn find() -> Option<Self> {
        if !mainstay_testkit::can_run(&TOOLS) {
            return None;
        }
        let found = Self::from_environment();
        if let Err(reason) = &found {
            assert!(env::var_os("MAINSTAY_TEST_MUST_RUN").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
        }
        found.ok()
    }

    fn from_environment() -> Result<Self, String> {
        let built = env::var_os("MAINSTAY_PROGRAMS").map(PathBuf::from);
        let built = built.ok_or(
            "MAINSTAY_PROGRAMS names no directory with the programs under test (`./x test` sets it)",
        )?;
        let init = env::var_os("MAINSTAY_INIT").map_or_else(|| built.join("mainstay-init"), PathBuf::from);
        let directory = tempfile::Builder::new()
            .prefix("mainstay-e2e-bin-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        for name in NAMES {
            let from = if name == "mainstay-init" {
                init.clone()
            } else {
                built.join(name)
            };
            place(&from, &directory.path().join(name))
                .map_err(|error| format!("no program {}: {error}", from.display()))?;
        }
        Ok(Self {
            directory: Arc::new(directory),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program is gone until the value is dropped; what runs of it goes on.
    pub(super) fn take_away(&self, name: &str) -> Away {
        let away = Away {
            place: self.path(name),
        };
        fs::rename(&away.place, away.kept_at()).expect("our own directory");
        away
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A program that is not in its place. Dropped, it is again.
#[derive(Debug)]
pub(crate) struct Away {
    place: PathBuf,
}

impl Away {
    fn kept_at(&self) -> PathBuf {
        self.place.with_extension("away")
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // A directory that is gone has no place either.
        if let Err(error) = fs::rename(self.kept_at(), &self.place) {
            eprintln!("{} could not be put back: {error}", self.place.display());
        }
    }
}

/// A link is enough where both are on one file system; a build in between makes a new file and leaves this one as it is.
fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

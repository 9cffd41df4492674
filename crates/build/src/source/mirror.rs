//! Bare, shallow mirrors: one per URL and credentials, so that nobody reads through another's credentials. Each fetched commit is
//! kept by a ref of its own, so that the next fetch transfers only what changed.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    CloneUrl,
    fetch_failure::FetchFailure,
    git::{Git, GitOutput, git_dir},
    platform_fault, references,
};

/// Its modification time says when a mirror was last used.
const STAMP: &str = "mainstay-used";

/// All mirrors of this machine.
#[derive(Debug)]
pub struct Mirrors {
    directory: PathBuf,
    /// One fetch at a time per mirror; entries of unused mirrors are dropped when they are removed.
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// A mirror, as far as keeping goes.
#[derive(Debug, Clone)]
pub(crate) struct MirrorEntry {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) used_at: SystemTime,
}

/// A mirror that holds the commit it was asked for. Reading needs no lock: git only ever adds to it.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
}

impl Mirror {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Mirrors {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            locks: Mutex::default(),
        })
    }

    /// The mirror of `url` once it holds `commit`; fetches only when it does not yet.
    pub(super) async fn with_commit(
        &self,
        git: &Git,
        url: &CloneUrl,
        branch: Option<&str>,
        commit: &str,
    ) -> Result<Mirror, FetchFailure> {
        if !is_commit_id(commit) {
            return Err(FetchFailure::Fault(
                mainstay_diagnosis::facts::BuildFault::SourceRefused {
                    path: commit.to_owned(),
                    rule: "a commit is named by its full id of 40 hex digits".to_owned(),
                },
            ));
        }
        let name = name_of(url);
        let _lock = self.lock_of(&name).lock_owned().await;
        let mirror = self.opened(git, &name).await?;
        if !has_commit(git, &mirror, commit).await? {
            fetch(git, url, &mirror, branch, commit).await?;
        }
        touch(&mirror.path.join(STAMP));
        Ok(mirror)
    }

    /// What is known of a mirror without reading it counts as a use too. One that was removed stays so.
    pub(super) fn note_use(&self, url: &CloneUrl) {
        let path = self.directory.join(name_of(url));
        if path.is_dir() {
            touch(&path.join(STAMP));
        }
    }

    async fn opened(&self, git: &Git, name: &str) -> Result<Mirror, FetchFailure> {
        let path = self.directory.join(name);
        if !path.join("HEAD").exists() {
            let words = ["init", "--quiet", "--bare", "--template="];
            git.local_text(&git_dir(&path), &words)
                .await
                .map_err(|error| FetchFailure::Fault(error.into()))?;
        }
        Ok(Mirror { path })
    }

    fn lock_of(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(name.to_owned()).or_default().clone()
    }

    pub(super) fn entries(&self) -> Vec<MirrorEntry> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let entry = |entry: fs::DirEntry| {
            let path = entry.path();
            let used = fs::metadata(path.join(STAMP)).or_else(|_| entry.metadata());
            Some(MirrorEntry {
                name: entry.file_name().into_string().ok()?,
                used_at: used.and_then(|metadata| metadata.modified()).ok()?,
                path,
            })
        };
        entries.flatten().filter_map(entry).collect()
    }

    pub(super) fn remove_of(&self, url: &CloneUrl) -> bool {
        self.remove(&name_of(url))
    }

    /// Nobody may be reading it. One that is being fetched stays.
    pub(super) fn remove(&self, name: &str) -> bool {
        let Ok(_guard) = self.lock_of(name).try_lock_owned() else {
            return false;
        };
        let removed = fs::remove_dir_all(self.directory.join(name)).is_ok();
        self.locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        removed
    }
}

pub(super) fn name_of(url: &CloneUrl) -> String {
    let mut hash = Sha256::new();
    hash.update(url.location().as_bytes());
    if let Some(credentials) = url.credentials() {
        hash.update([0]);
        hash.update(credentials.user.as_bytes());
        hash.update([0]);
        hash.update(credentials.password.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize()[..12])
}

fn is_commit_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn has_commit(git: &Git, mirror: &Mirror, commit: &str) -> Result<bool, FetchFailure> {
    let object = format!("refs/mainstay/{commit}^{{commit}}");
    git.local(
        &git_dir(&mirror.path),
        &["rev-parse", "--quiet", "--verify", &object],
    )
    .await
    .map(|output| output.success)
    .map_err(|error| FetchFailure::Fault(error.into()))
}

/// Most servers give a commit by its id. Those that do not are asked for the branch, and at last for the whole history.
async fn fetch(
    git: &Git,
    url: &CloneUrl,
    mirror: &Mirror,
    branch: Option<&str>,
    commit: &str,
) -> Result<(), FetchFailure> {
    let keep = format!("+{commit}:refs/mainstay/{commit}");
    let first = fetch_once(git, url, mirror, &["--depth=1"], &keep).await?;
    if first.success {
        return Ok(());
    }
    let failure = FetchFailure::from_stderr(&first.stderr, url);
    if failure.is_network() {
        return Err(failure);
    }
    let branch_ref = format!("+refs/heads/{}:refs/fetched/branch", branch.unwrap_or("*"));
    let attempts: [(&[&str], &str); 2] = [
        (&["--depth=1"], &branch_ref),
        (&[], "+refs/heads/*:refs/fetched/heads/*"),
    ];
    for (options, refspec) in attempts {
        if options.contains(&"--depth=1") && branch.is_none() {
            continue;
        }
        let output = fetch_once(git, url, mirror, options, refspec).await?;
        if output.success && keep_commit(git, mirror, commit).await? {
            return Ok(());
        }
    }
    Err(failure)
}

async fn fetch_once(
    git: &Git,
    url: &CloneUrl,
    mirror: &Mirror,
    options: &[&str],
    refspec: &str,
) -> Result<GitOutput, FetchFailure> {
    let mut words = vec![
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
    ];
    words.extend(options);
    words.extend(["--", url.location(), refspec]);
    git.remote(url, &git_dir(&mirror.path), &words)
        .await
        .map_err(|error| references::failure(error, git))
}

async fn keep_commit(git: &Git, mirror: &Mirror, commit: &str) -> Result<bool, FetchFailure> {
    let name = format!("refs/mainstay/{commit}");
    git.local(&git_dir(&mirror.path), &["update-ref", &name, commit])
        .await
        .map(|output| output.success)
        .map_err(|error| FetchFailure::Fault(platform_fault("keeping a fetched commit", &error)))
}

/// A stamp that cannot be written only makes the mirror look unused.
fn touch(stamp: &Path) {
    if let Err(error) = fs::write(stamp, b"") {
        tracing::warn!(stamp = %stamp.display(), %error, "the time of use of a git mirror could not be noted");
    }
}

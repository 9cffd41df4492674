//! Sources: what exactly is built, and its files in a plain directory.
//!
//! ```text
//! clone URL ──▶ references (ls-remote)      which commit is the branch?
//!           ──▶ mirror     (bare, shallow)  one per URL and credentials, kept between builds
//!           ──▶ checkout                    plain files of the commit, submodules included, owned by the build user
//! ```
//!
//! Invariants: credentials of a URL are in no argument, no log line and no error; git runs no hook, asks nobody, speaks only
//! http, https, ssh and local paths, and ends by its deadline together with every process it started.

mod checkout;
mod clone_url;
mod fetch_failure;
mod git;
mod known_trees;
mod mirror;
mod outside;
mod references;
mod source_dir;
mod submodules;
mod tree;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use mainstay_diagnosis::facts::BuildFault;

pub use checkout::{CheckedOut, CheckoutTarget};
pub use clone_url::CloneUrl;
pub use mirror::Mirrors;
pub(crate) use outside::OutsideWatch;
pub use source_dir::SourceDir;
pub use tree::{EntryKind, SourceTree, TreeEntry};

use git::Git;
use known_trees::{KnownTrees, TreeName};

/// How sources are fetched on this machine.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Where mirrors and git's own configuration are kept; made when missing.
    pub directory: PathBuf,
    /// PEM bundle that git trusts for https instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// `http_proxy`, `https_proxy`, `no_proxy`, as the operator set them.
    pub proxies: BTreeMap<String, String>,
    pub local_paths: LocalPaths,
    /// For one network operation of git.
    pub fetch_timeout: Duration,
    /// Waits before a fetch that failed on the network is tried again; its length is the number of further attempts.
    pub retry_after: Vec<Duration>,
}

impl SourceSettings {
    /// Settings with this project's defaults: local paths allowed, ten minutes a fetch, two more attempts.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            ca_bundle: None,
            proxies: BTreeMap::new(),
            local_paths: LocalPaths::Anywhere,
            fetch_timeout: Duration::from_mins(10),
            retry_after: vec![Duration::from_secs(1), Duration::from_secs(4)],
        }
    }
}

/// Whether a clone URL may be a path of this machine. Whoever may name any path can read every repository on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalPaths {
    Anywhere,
    /// Only below these directories.
    Under(Vec<PathBuf>),
    Refused,
}

impl LocalPaths {
    /// Whether a repository may be here, wherever links lead. What does not exist is allowed where its directory would be: git says then
    /// that it is missing.
    fn allow(&self, path: &Path) -> bool {
        let roots = match self {
            Self::Anywhere => return true,
            Self::Refused => return false,
            Self::Under(roots) => roots,
        };
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && !goes_up => path.to_owned(),
            Err(_) => return false,
        };
        roots.iter().any(|root| {
            real.starts_with(root) || root.canonicalize().is_ok_and(|root| real.starts_with(root))
        })
    }
}

/// Git sources of this machine.
#[derive(Debug)]
pub struct GitSources {
    git: Git,
    mirrors: Mirrors,
    trees: KnownTrees,
    settings: SourceSettings,
}

/// A branch and the commit it stood at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBranch {
    pub branch: String,
    /// 40 hex digits.
    pub commit: String,
}

impl GitSources {
    /// Makes the directories and git's configuration file.
    pub fn open(settings: SourceSettings) -> std::io::Result<Self> {
        let git = Git::prepare(&settings)?;
        let mirrors = Mirrors::open(settings.directory.join("mirrors"))?;
        Ok(Self {
            git,
            mirrors,
            trees: KnownTrees::default(),
            settings,
        })
    }

    /// The commit at which `branch`, or the repository's default branch, stands now.
    pub async fn resolve(&self, url: &str, branch: Option<&str>) -> Result<ResolvedBranch, BuildFault> {
        let url = self.parse(url)?;
        self.retrying(&url, || references::resolve(&self.git, &url, branch))
            .await
    }

    /// The git tree of `source_dir` at the commit: equal ids mean equal files. Fetches the commit when it is not here yet, and asks git
    /// for no tree twice.
    pub async fn tree_id(
        &self,
        url: &str,
        branch: Option<&str>,
        commit: &str,
        source_dir: &SourceDir,
    ) -> Result<TreeIdentity, BuildFault> {
        let url = self.parse(url)?;
        let name = TreeName::new(&url, commit, source_dir);
        if let Some(known) = self.trees.get(&name) {
            self.mirrors.note_use(&url);
            return Ok(known);
        }
        let mirror = self.fetched(&url, branch, commit).await?;
        let identity = source_dir::tree_identity(&self.git, &mirror, commit, source_dir).await?;
        self.trees.keep(name, identity.clone());
        Ok(identity)
    }

    /// Puts the files of the commit into an empty directory.
    pub async fn check_out(
        &self,
        url: &str,
        branch: Option<&str>,
        commit: &str,
        target: &CheckoutTarget,
    ) -> Result<CheckedOut, BuildFault> {
        let url = self.parse(url)?;
        let mirror = self.fetched(&url, branch, commit).await?;
        checkout::check_out(self, &mirror, &url, commit, target).await
    }

    /// What is kept between builds.
    pub(crate) fn mirrors(&self) -> Vec<mirror::MirrorEntry> {
        self.mirrors.entries()
    }

    /// Removes a mirror that no build reads; false when it is being fetched or gone already.
    pub(crate) fn remove_mirror(&self, name: &str) -> bool {
        self.mirrors.remove(name)
    }

    /// Removes the mirror of a clone URL, whatever it is.
    pub(crate) fn forget(&self, url: &str) {
        if let Ok(url) = self.parse(url) {
            self.mirrors.remove_of(&url);
        }
    }

    fn local_paths(&self) -> &LocalPaths {
        &self.settings.local_paths
    }

    fn parse(&self, url: &str) -> Result<CloneUrl, BuildFault> {
        CloneUrl::parse(url, &self.settings.local_paths)
    }

    async fn fetched(
        &self,
        url: &CloneUrl,
        branch: Option<&str>,
        commit: &str,
    ) -> Result<mirror::Mirror, BuildFault> {
        self.retrying(url, || self.mirrors.with_commit(&self.git, url, branch, commit))
            .await
    }

    /// Repeats what failed on the network, and says in the fault how often it was tried.
    async fn retrying<T, F>(&self, url: &CloneUrl, attempt: impl Fn() -> F) -> Result<T, BuildFault>
    where
        F: Future<Output = Result<T, fetch_failure::FetchFailure>>,
    {
        let mut attempts = 1;
        loop {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let wait = self.settings.retry_after.get(attempts as usize - 1);
            match wait {
                Some(wait) if failure.is_network() => tokio::time::sleep(*wait).await,
                _ => return Err(failure.into_fault(url, attempts)),
            }
            attempts += 1;
        }
    }
}

/// What identifies the files that a build sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeIdentity {
    /// Git tree id of `source_dir`.
    pub source_dir: String,
    /// Git tree id of the whole repository.
    pub repository: String,
}

/// Turns an I/O error of ours into the fault that says what was being done.
pub(crate) fn platform_fault(
    operation: impl Into<String>,
    error: &(dyn std::error::Error + 'static),
) -> BuildFault {
    let mut error_chain = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        error_chain.push(inner.to_string());
        source = inner.source();
    }
    BuildFault::Platform {
        operation: operation.into(),
        error_chain,
    }
}

//! A commit's files in a plain directory: no `.git`, nothing to write back to the mirror.

use std::{
    io,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use mainstay_diagnosis::facts::BuildFault;
use walkdir::WalkDir;

use super::{CloneUrl, GitSources, git::Git, mirror::Mirror, platform_fault, submodules};

/// Where to put the files, and whose they become.
#[derive(Debug, Clone)]
pub struct CheckoutTarget {
    /// Exists and is empty.
    pub directory: PathBuf,
    /// User and group id of the build user.
    pub owner: (u32, u32),
}

/// What was put there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedOut {
    /// Paths of the submodules that were fetched too.
    pub submodules: Vec<String>,
}

pub(super) async fn check_out(
    sources: &GitSources,
    mirror: &Mirror,
    url: &CloneUrl,
    commit: &str,
    target: &CheckoutTarget,
) -> Result<CheckedOut, BuildFault> {
    write_files(&sources.git, mirror, commit, &target.directory).await?;
    let submodules = submodules::check_out_all(sources, mirror, url, commit, &target.directory).await?;
    let (directory, owner) = (target.directory.clone(), target.owner);
    tokio::task::spawn_blocking(move || give_to(&directory, owner))
        .await
        .map_err(|error| platform_fault("preparing the source files", &error))?
        .map_err(|error| platform_fault("preparing the source files", &error))?;
    Ok(CheckedOut { submodules })
}

/// Reads the tree into an index of its own and writes all its files, as a clone would (line ends and symlinks included). Filters of
/// `.gitattributes` do not run: git's configuration here defines none.
pub(super) async fn write_files(
    git: &Git,
    mirror: &Mirror,
    commit: &str,
    directory: &Path,
) -> Result<(), BuildFault> {
    let index = tempfile::Builder::new()
        .prefix("mainstay-index-")
        .tempdir()
        .map_err(|error| platform_fault("preparing the source files", &error))?;
    let index_file = index.path().join("index");
    let variables = [
        ("GIT_DIR", mirror.path()),
        ("GIT_WORK_TREE", directory),
        ("GIT_INDEX_FILE", index_file.as_path()),
    ];
    git.local_text(&variables, &["read-tree", commit]).await?;
    git.local_text(&variables, &["checkout-index", "--all", "--force", "--quiet"])
        .await?;
    Ok(())
}

fn give_to(directory: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    for entry in WalkDir::new(directory) {
        lchown(entry?.path(), Some(user), Some(group))?;
    }
    Ok(())
}

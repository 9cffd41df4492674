//! The source's identity and its files, for git and for uploads.

use std::{
    fs, io,
    os::unix::fs::{lchown, symlink},
    path::{Path, PathBuf},
};

use mainstay_diagnosis::facts::{BuildFault, SourceFacts};
use walkdir::WalkDir;

use super::Inner;
use crate::{
    BuildRequest, Source,
    execute::{BUILD_USER, Workspace},
    source::{CheckoutTarget, CloneUrl, LocalPaths, SourceDir, SourceTree, TreeIdentity, platform_fault},
    upload::digest_of_directory,
};

/// What is known about the source before anything is fetched.
pub(super) fn source_facts(request: &BuildRequest, source_dir: &SourceDir) -> SourceFacts {
    let (origin, branch, commit) = match &request.source.source {
        Source::Git { url, branch } => {
            let shown = CloneUrl::parse(url, &LocalPaths::Anywhere)
                .map_or_else(|_| String::new(), |url| url.to_string());
            (shown, branch.clone(), Some(request.source.revision.clone()))
        }
        Source::Upload { .. } => ("upload".to_owned(), None, None),
        Source::Image { reference, .. } => (reference.clone(), None, None),
    };
    SourceFacts {
        origin,
        branch,
        commit,
        source_dir: source_dir.to_string(),
    }
}

/// Which files a build of this request sees.
pub(super) async fn identity(
    inner: &Inner,
    request: &BuildRequest,
    source_dir: &SourceDir,
) -> Result<TreeIdentity, BuildFault> {
    match &request.source.source {
        Source::Git { url, branch } => {
            let commit = &request.source.revision;
            inner
                .sources
                .tree_id(url, branch.as_deref(), commit, source_dir)
                .await
        }
        Source::Upload { id, path } => upload_identity(id, path.clone(), source_dir.clone()).await,
        Source::Image { reference, .. } => Err(BuildFault::Unsupported {
            what: reference.clone(),
            reason: "an image has no source files".to_owned(),
        }),
    }
}

async fn upload_identity(id: &str, root: PathBuf, source_dir: SourceDir) -> Result<TreeIdentity, BuildFault> {
    let identity = |digest: String| TreeIdentity {
        source_dir: digest,
        repository: id.to_owned(),
    };
    if source_dir.is_root() {
        return Ok(identity(id.to_owned()));
    }
    let looked = tokio::task::spawn_blocking(move || upload_directory(&root, &source_dir));
    let digest = looked
        .await
        .map_err(|error| platform_fault("reading the upload", &error))?;
    digest.map(identity)
}

/// The digest of a directory of the upload. Blocks.
fn upload_directory(root: &Path, source_dir: &SourceDir) -> Result<String, BuildFault> {
    let tree = SourceTree::open(root).map_err(|error| platform_fault("reading the upload", &error))?;
    match tree.below(source_dir.as_str()) {
        Ok(directory) => digest_of_directory(directory.path())
            .map_err(|error| platform_fault("reading the upload", &error)),
        Err(_) => Err(BuildFault::SourceDirMissing {
            source_dir: source_dir.to_string(),
            existing: tree.directories(),
        }),
    }
}

/// Puts the whole source into the workspace, owned by the build user.
pub(super) async fn write(
    inner: &Inner,
    request: &BuildRequest,
    workspace: &Workspace,
) -> Result<Vec<String>, BuildFault> {
    let directory = workspace.root();
    match &request.source.source {
        Source::Git { url, branch } => {
            let target = CheckoutTarget {
                directory,
                owner: BUILD_USER,
            };
            let done = inner
                .sources
                .check_out(url, branch.as_deref(), &request.source.revision, &target)
                .await?;
            Ok(done.submodules)
        }
        Source::Upload { path, .. } => {
            let from = path.clone();
            tokio::task::spawn_blocking(move || copy_tree(&from, &directory))
                .await
                .map_err(|error| platform_fault("copying the upload", &error))?
                .map_err(|error| platform_fault("copying the upload", &error))?;
            Ok(Vec::new())
        }
        Source::Image { .. } => Ok(Vec::new()),
    }
}

/// Copies files, directories and links; modes are kept, everything belongs to the build user.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in WalkDir::new(from).min_depth(1) {
        let entry = entry?;
        let place = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir(&place)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
        lchown(&place, Some(BUILD_USER.0), Some(BUILD_USER.1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_belongs_to_the_build_user_and_keeps_links() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/file"), "1").unwrap();
        symlink("a/file", from.join("link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/file"));
        assert_eq!(fs::metadata(to.join("a/file")).unwrap().uid(), BUILD_USER.0);
    }
}

//! `source_dir`: the part of the source that a component is built from.

use std::fmt;

use mainstay_diagnosis::facts::BuildFault;

use super::{
    TreeIdentity,
    git::{Git, git_dir},
    mirror::Mirror,
};

/// Directories named in a fault.
const EXISTING_MAX: usize = 100;

/// A directory relative to the root of the source, without `.` and `..`; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDir(String);

impl SourceDir {
    /// Accepts what App Platform accepts: "/", "api", "/api/", "./api".
    pub fn parse(text: &str) -> Result<Self, BuildFault> {
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." || part == ".git" || part.chars().any(char::is_control) {
                return Err(BuildFault::SourceRefused {
                    path: text.to_owned(),
                    rule: "source_dir is a directory inside the source; it holds no .. and no .git"
                        .to_owned(),
                });
            }
            parts.push(part);
        }
        Ok(Self(parts.join("/")))
    }

    pub fn root() -> Self {
        Self(String::new())
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Without slashes at its ends; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Below `base`: "/workspace" → "/workspace/api".
    pub fn below(&self, base: &str) -> String {
        if self.is_root() {
            base.to_owned()
        } else {
            format!("{base}/{}", self.0)
        }
    }
}

/// As people write it: "/" or "api".
impl fmt::Display for SourceDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

/// The tree ids of the directory and of the whole commit.
pub(super) async fn tree_identity(
    git: &Git,
    mirror: &Mirror,
    commit: &str,
    source_dir: &SourceDir,
) -> Result<TreeIdentity, BuildFault> {
    let whole = format!("{commit}^{{tree}}");
    let words = ["rev-parse", "--verify", "--quiet", whole.as_str()];
    let repository = git
        .local_text(&git_dir(mirror.path()), &words)
        .await?
        .trim()
        .to_owned();
    if source_dir.is_root() {
        return Ok(TreeIdentity {
            source_dir: repository.clone(),
            repository,
        });
    }
    let words = ["ls-tree", "-z", "--full-tree", commit, "--", source_dir.as_str()];
    let entry = git.local_text(&git_dir(mirror.path()), &words).await?;
    if let Some(tree) = tree_of_entry(&entry) {
        return Ok(TreeIdentity {
            source_dir: tree,
            repository,
        });
    }
    Err(BuildFault::SourceDirMissing {
        source_dir: source_dir.to_string(),
        existing: directories(git, mirror, commit).await?,
    })
}

/// `040000 tree <id>\t<path>\0`; files and submodule links of that name are no directories.
fn tree_of_entry(entry: &str) -> Option<String> {
    let (object, _) = entry.split_once('\t')?;
    object.strip_prefix("040000 tree ").map(str::to_owned)
}

/// The commit's directories, shallow ones first.
async fn directories(git: &Git, mirror: &Mirror, commit: &str) -> Result<Vec<String>, BuildFault> {
    let words = ["ls-tree", "-r", "-d", "-z", "--name-only", "--full-tree", commit];
    let listing = git.local_text(&git_dir(mirror.path()), &words).await?;
    let names = listing
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    Ok(shallow_first(names.collect()))
}

/// The first hundred, fewest slashes first, then by name.
pub(crate) fn shallow_first(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| (name.matches('/').count(), name.clone()));
    names.truncate(EXISTING_MAX);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_directory_are_equal() {
        for text in ["api", "/api", "api/", "./api", "/api/."] {
            assert_eq!(SourceDir::parse(text).unwrap().as_str(), "api", "{text}");
        }
        for text in ["", "/", "."] {
            assert!(SourceDir::parse(text).unwrap().is_root(), "{text}");
        }
    }

    #[test]
    fn the_directory_stays_inside_the_source() {
        for text in ["..", "a/../../b", ".git", "a/.git/hooks", "a\nb"] {
            assert!(SourceDir::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shallow_directories_are_named_first() {
        let names = ["b/c/d", "b", "a/b", "a"].map(str::to_owned).to_vec();
        assert_eq!(shallow_first(names), ["a", "b", "a/b", "b/c/d"]);
    }
}

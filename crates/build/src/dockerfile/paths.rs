//! Paths inside the checked-out source. A repository may hold symbolic links to anywhere; none of them may lead out of it.

use std::path::{Path, PathBuf};

/// Why a path of the source cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathFault {
    Missing,
    /// Leads out of the source, by `..` or by a symbolic link.
    Outside,
}

/// The real path of `relative` (a leading slash means the root of the source), if it exists inside `root`.
pub(crate) fn resolve_inside(root: &Path, relative: &str) -> Result<PathBuf, PathFault> {
    let root = root.canonicalize().map_err(|_| PathFault::Missing)?;
    let real = root
        .join(relative.trim_start_matches('/'))
        .canonicalize()
        .map_err(|_| PathFault::Missing)?;
    if real.starts_with(&root) {
        Ok(real)
    } else {
        Err(PathFault::Outside)
    }
}

/// The path without `.`, `..` and doubled slashes, as Dockerfile instructions see it: `..` at the root stays at the root.
pub(crate) fn clean_relative(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_source_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("Dockerfile")).unwrap();
        assert_eq!(resolve_inside(dir.path(), "Dockerfile"), Err(PathFault::Outside));
        assert_eq!(
            resolve_inside(dir.path(), "../../etc/passwd").err(),
            Some(PathFault::Outside)
        );
        assert_eq!(resolve_inside(dir.path(), "nothing"), Err(PathFault::Missing));
    }

    #[test]
    fn dot_dot_stays_below_the_root() {
        assert_eq!(clean_relative("./a//b/../c/"), "a/c");
        assert_eq!(clean_relative("../../x"), "x");
        assert_eq!(clean_relative("/"), "");
    }
}

//! Where the kernel's control groups are mounted: v1 (one tree per controller) or v2 (one tree).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The mounted cgroup trees of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    v1: Vec<V1Tree>,
    v2: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct V1Tree {
    controllers: Vec<String>,
    root: PathBuf,
}

impl Hierarchies {
    pub(crate) fn detect() -> io::Result<Self> {
        fs::read_to_string("/proc/self/mountinfo").map(|text| Self::from_mountinfo(&text))
    }

    fn from_mountinfo(text: &str) -> Self {
        let mut found = Self {
            v1: Vec::new(),
            v2: None,
        };
        for line in text.lines() {
            // "36 35 98:0 /root /mount/point rw,… - type source super,options", proc(5).
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let (Some(mount_point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else {
                continue;
            };
            let options = right.split(' ').nth(2).unwrap_or_default();
            match kind {
                "cgroup2" => found.v2 = found.v2.take().or_else(|| Some(mount_point.into())),
                "cgroup" => found.v1.push(V1Tree {
                    controllers: options.split(',').map(str::to_owned).collect(),
                    root: mount_point.into(),
                }),
                _ => {}
            }
        }
        found
    }

    /// True when limits are set in the one tree of v2.
    pub(crate) fn is_v2(&self) -> bool {
        self.controller("memory").is_none() && self.v2.is_some()
    }

    /// Root of the v1 tree of a controller.
    pub(crate) fn controller(&self, name: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|tree| tree.controllers.iter().any(|controller| controller == name))
            .map(|tree| tree.root.as_path())
    }

    pub(crate) fn unified(&self) -> Option<&Path> {
        self.v2.as_deref()
    }

    /// Every tree: the runtime makes directories in all of them.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.v1
            .iter()
            .map(|tree| tree.root.as_path())
            .chain(self.v2.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "25 24 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        26 25 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        28 25 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn hybrid_machines_are_v1() {
        let hierarchies = Hierarchies::from_mountinfo(HYBRID);
        assert!(!hierarchies.is_v2());
        assert_eq!(
            hierarchies.controller("cpuacct"),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(hierarchies.roots().count(), 3);
    }

    #[test]
    fn a_single_tree_is_v2() {
        let text = "26 25 0:23 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        assert!(Hierarchies::from_mountinfo(text).is_v2());
    }
}

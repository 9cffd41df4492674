//! File owners where the kernel cannot map them by mount: the owners on disk are the host's ids of the instance, as long as it lives.
//!
//! Layers are shared, so the engine copies them, once per block of ids. What an instance may write to is its alone at that time: its
//! owners are moved into the block before the instance starts, and back when it has ended ([`give_back`]). Both ways leave alone what
//! is moved already, so that either may be repeated after a crash.

mod attributes;
pub mod directory;
mod moving;

use std::path::PathBuf;

pub use attributes::shifted as shifted_attribute;
pub use moving::{Direction, MoveError, move_tree};

use crate::spec::{FileOwners, MountKind, ShimSpec};

/// Ids of one instance: 0 to 65535 as seen from inside.
pub const IDS: u32 = 65536;

/// An app's ids on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    base: u32,
}

impl Block {
    /// # Panics
    /// When the block would overlap the ids seen from inside: then nobody could tell which of the two an id is.
    pub fn new(base: u32) -> Self {
        assert!(base >= IDS, "blocks of host ids begin above those of instances");
        Self { base }
    }

    /// Ids of nobody inside stay what they are.
    pub fn to_host(self, id: u32) -> u32 {
        if id < IDS { self.base + id } else { id }
    }

    /// Ids of nobody inside stay what they are.
    pub fn to_inside(self, id: u32) -> u32 {
        match id.checked_sub(self.base) {
            Some(inside) if inside < IDS => inside,
            _ => id,
        }
    }
}

/// What the instance may write to, and keeps after it.
pub fn writable_trees(spec: &ShimSpec) -> Vec<PathBuf> {
    if spec.owners == FileOwners::Idmapped {
        return Vec::new();
    }
    let trees = spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Writable { source } => Some(source.clone()),
        MountKind::Overlay { upper, .. } => Some(upper.clone()),
        // The owners of a volume are settled each time it is mounted.
        MountKind::ReadOnly { .. } | MountKind::Volume { .. } => None,
    });
    trees.collect()
}

/// Gives what an instance wrote the owners that it saw. No process of it may be left. The faults; all is tried.
pub fn give_back(spec: &ShimSpec) -> Vec<MoveError> {
    let trees = writable_trees(spec).into_iter().filter(|tree| tree.exists());
    trees
        .filter_map(|tree| move_tree(&tree, Block::new(spec.id_base), Direction::ToInside).err())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_moved_once_however_often_it_is_asked() {
        let block = Block::new(1_000_000);
        assert_eq!(block.to_host(0), 1_000_000);
        assert_eq!(block.to_host(block.to_host(65535)), 1_065_535);
        assert_eq!(block.to_inside(1_000_033), 33);
        assert_eq!(block.to_inside(block.to_inside(1_000_033)), 33);
        assert_eq!(
            (block.to_host(70_000), block.to_inside(999_999)),
            (70_000, 999_999)
        );
        assert_eq!(block.to_inside(1_065_536), 1_065_536);
    }
}

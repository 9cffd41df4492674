//! How an instance's files get the owners that it sees: mapped by the kernel, or copied for the app's block of ids.
//!
//! ```text
//!  mod     which of both, and what the shim is given for it
//!  probe   whether the kernel maps on the file systems in question
//!  copy    a tree with the owners of a block
//!  budget  how much a copy may take, and how far it is
//! ```

mod budget;
mod copy;
mod probe;

use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_images::{
    ImageStore,
    store::{HeldCopy, StoreError},
};
use mainstay_shim::{
    files::COPIES_DIRECTORY,
    owners::Block,
    spec::{FileOwners, Mount, MountKind},
};

use crate::api::{EngineError, InstanceSpec};

use super::{
    Inner,
    config::{LayerOwner, Places},
};

pub(super) use probe::Verdicts;

/// What the shim is told about the files of an instance.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) owners: FileOwners,
    pub(super) layers: Vec<PathBuf>,
    pub(super) mounts: Vec<Mount>,
    /// Copies that must stay as long as the instance. Held here until the shim holds them.
    pub(super) held: Vec<HeldCopy>,
}

/// A copy could not be made.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("cannot copy {} with other file owners", tree.display())]
    Tree {
        tree: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the image store could not keep a copy")]
    Store(#[from] StoreError),
}

/// Decides, and makes the copies that are missing.
pub(super) async fn settle(
    inner: &Arc<Inner>,
    spec: &InstanceSpec,
    id_base: u32,
    places: &Places,
) -> Result<Files, EngineError> {
    let copies = match inner.config.layer_owner {
        LayerOwner::Idmap => false,
        LayerOwner::Copy => true,
        LayerOwner::Auto => !probe::all_map(inner, &sources(spec), id_base).await?,
    };
    if !copies {
        return Ok(Files {
            owners: FileOwners::Idmapped,
            layers: spec.layers.clone(),
            mounts: spec.mounts.clone(),
            held: Vec::new(),
        });
    }
    let mut copier = Copier {
        images: inner.config.images.clone(),
        block: Block::new(id_base),
        kind: format!("ids-{id_base}"),
        own: places.data.join(COPIES_DIRECTORY),
        own_made: 0,
        held: Vec::new(),
    };
    let operation = || format!("copy the layers of the instance {}", spec.id);
    let owned = spec.clone();
    let copied = tokio::task::spawn_blocking(move || copier.all(&owned));
    copied
        .await
        .map_err(EngineError::during(operation()))?
        .map_err(EngineError::during(operation()))
}

/// Directories and files that the instance sees.
fn sources(spec: &InstanceSpec) -> Vec<&Path> {
    let mounts = spec.mounts.iter().flat_map(|mount| match &mount.kind {
        MountKind::ReadOnly { source } | MountKind::Writable { source } => vec![source.as_path()],
        MountKind::Overlay { lower, upper, .. } => lower
            .iter()
            .chain(std::iter::once(upper))
            .map(PathBuf::as_path)
            .collect(),
        // Its file system is only there when the shim has mounted it.
        MountKind::Volume { .. } => Vec::new(),
    });
    spec.layers.iter().map(PathBuf::as_path).chain(mounts).collect()
}

/// Makes the copies of one instance.
struct Copier {
    images: Option<ImageStore>,
    block: Block,
    /// Names the copies for this block in the image store.
    kind: String,
    /// Where copies go that no layer of the image store stands for; they end with the instance.
    own: PathBuf,
    own_made: u32,
    held: Vec<HeldCopy>,
}

impl Copier {
    fn all(&mut self, spec: &InstanceSpec) -> Result<Files, CopyError> {
        let layers = self.each(&spec.layers)?;
        let mut mounts = Vec::new();
        for mount in &spec.mounts {
            let kind = match &mount.kind {
                MountKind::ReadOnly { source } => MountKind::ReadOnly {
                    source: self.copied(source)?,
                },
                MountKind::Overlay { lower, upper, work } => MountKind::Overlay {
                    lower: self.each(lower)?,
                    upper: upper.clone(),
                    work: work.clone(),
                },
                // The instance's alone: its owners are changed in place, see `mainstay_shim::owners`.
                own @ (MountKind::Writable { .. } | MountKind::Volume { .. }) => own.clone(),
            };
            mounts.push(Mount {
                target: mount.target.clone(),
                kind,
            });
        }
        Ok(Files {
            owners: FileOwners::Chowned,
            layers,
            mounts,
            held: std::mem::take(&mut self.held),
        })
    }

    fn each(&mut self, sources: &[PathBuf]) -> Result<Vec<PathBuf>, CopyError> {
        sources.iter().map(|source| self.copied(source)).collect()
    }

    fn copied(&mut self, source: &Path) -> Result<PathBuf, CopyError> {
        let block = self.block;
        if let Some(images) = &self.images {
            let make = |from: &Path, to: &Path| copy_tree(from, to, block);
            if let Some(held) = images.copy_of(source, &self.kind, make)? {
                let copied = held.path.clone();
                self.held.push(held);
                return Ok(copied);
            }
        }
        let to = self.own.join(self.own_made.to_string());
        self.own_made += 1;
        self.make_own(source, &to).map_err(|error| CopyError::Tree {
            tree: source.to_owned(),
            source: error,
        })?;
        copy_tree(source, &to, block)?;
        Ok(to)
    }

    /// The instance's root user passes through its directories.
    fn make_own(&self, source: &Path, to: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.own)?;
        if source.is_dir() {
            std::fs::create_dir(to)?;
        }
        Ok(())
    }
}

fn copy_tree(from: &Path, to: &Path, block: Block) -> Result<(), CopyError> {
    copy::copy(from, to, block).map_err(|source| CopyError::Tree {
        tree: from.to_owned(),
        source,
    })
}

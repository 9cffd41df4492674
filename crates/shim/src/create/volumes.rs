//! The spec's mounts.

use std::{
    fs::{self, File},
    path::Path,
};

use mainstay_shim::spec::{Mount, MountKind, ShimSpec};

use super::{
    CreateError, Places,
    idmap::{self, Owners},
    inside::{PointKind, Root},
    overlay::{self, Writable},
    volume_image,
};

/// No file of a volume may give more rights or be a device of the host.
const HARMLESS: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Mounts all in the order given, so that a later one may lie inside an earlier one. The locks of volumes, for as long as the instance lives.
pub(super) fn mount_all(
    spec: &ShimSpec,
    places: &Places,
    owners: &Owners,
    root: &Root,
) -> Result<Vec<File>, CreateError> {
    let mut locks = Vec::new();
    for (number, volume) in spec.mounts.iter().enumerate() {
        locks.extend(mount(volume, number, places, owners, root)?);
    }
    Ok(locks)
}

fn mount(
    volume: &Mount,
    number: usize,
    places: &Places,
    owners: &Owners,
    root: &Root,
) -> Result<Option<File>, CreateError> {
    let mut lock = None;
    let (mount, kind) = match &volume.kind {
        MountKind::ReadOnly { source } => (
            owners.map(source, HARMLESS | libc::MOUNT_ATTR_RDONLY)?,
            kind_of(source)?,
        ),
        MountKind::Writable { source } => (owners.map(source, HARMLESS)?, kind_of(source)?),
        MountKind::Overlay { lower, upper, work } => {
            let assembled = places.mounts().join(format!("volume{number}"));
            fs::create_dir(&assembled).map_err(CreateError::on_path("create", &assembled))?;
            overlay::mount(places, owners, lower, &Writable { upper, work }, &assembled, "")?;
            (idmap::clone_mount(&assembled)?, PointKind::Directory)
        }
        MountKind::Volume { image, id } => {
            let assembled = places.mounts().join(format!("volume{number}"));
            fs::create_dir(&assembled).map_err(CreateError::on_path("create", &assembled))?;
            lock = Some(volume_image::mount(image, id, owners, &assembled)?);
            (owners.map(&assembled, HARMLESS)?, PointKind::Directory)
        }
    };
    root.attach(&mount, &volume.target, kind, owners.base)?;
    Ok(lock)
}

fn kind_of(source: &Path) -> Result<PointKind, CreateError> {
    let metadata = fs::metadata(source).map_err(CreateError::on_path("look at", source))?;
    Ok(if metadata.is_dir() {
        PointKind::Directory
    } else {
        PointKind::File
    })
}

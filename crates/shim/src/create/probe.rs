//! Whether this kernel maps file owners by mount, also below an overlay, on the file system of a directory.
//!
//! `mount_setattr(2)` maps since Linux 5.12, overlays take such layers since 5.19, and each file system has to allow it.

use std::{fs, path::Path};

use mainstay_shim::spec::FileOwners;

use crate::system;

use super::{CreateError, enter_private_namespace, idmap, scratch};

/// What the kernel answers where it cannot.
const REFUSALS: [i32; 4] = [libc::EINVAL, libc::ENOSYS, libc::EPERM, libc::EOPNOTSUPP];

/// Mounts as an instance's layers are mounted, in a namespace that goes with this process. `Ok(Some)` is the kernel's refusal.
pub(crate) fn probe(
    scratch_dir: &Path,
    directory: &Path,
    id_base: u32,
) -> Result<Option<CreateError>, CreateError> {
    enter_private_namespace()?;
    scratch::prepare(scratch_dir)?;
    let (mapped, other, target) = (
        scratch_dir.join("mapped"),
        scratch_dir.join("other"),
        scratch_dir.join("target"),
    );
    for path in [&mapped, &other, &target] {
        fs::create_dir(path).map_err(CreateError::on_path("create", path))?;
    }
    let owners = idmap::Owners::new(FileOwners::Idmapped, id_base)?;
    match mount_mapped(&owners, directory, &mapped, &target) {
        Ok(()) => Ok(None),
        Err(error) if is_refusal(&error) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

fn mount_mapped(
    owners: &idmap::Owners,
    directory: &Path,
    mapped: &Path,
    target: &Path,
) -> Result<(), CreateError> {
    let mount = owners.map(directory, libc::MOUNT_ATTR_RDONLY)?;
    idmap::attach_at(&mount, mapped)?;
    let scratch_dir = mapped.parent().unwrap_or(Path::new("/"));
    std::env::set_current_dir(scratch_dir).map_err(CreateError::on_path("change to", scratch_dir))?;
    // Without a writable layer an overlay needs two others.
    system::mount(
        c"overlay",
        &scratch::c_path(target)?,
        c"overlay",
        libc::MS_NODEV | libc::MS_RDONLY,
        c"lowerdir=mapped:other",
    )
    .map_err(CreateError::on_path(
        "mount an overlay with the mapped",
        directory,
    ))
}

fn is_refusal(error: &CreateError) -> bool {
    match error {
        CreateError::Io { source, .. } => source
            .raw_os_error()
            .is_some_and(|number| REFUSALS.contains(&number)),
        _ => false,
    }
}

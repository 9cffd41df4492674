//! Idmapped mounts: files keep on disk the owners that the instance sees, although the instance's ids are others on the host.
//!
//! On disk 0–65535 ↔ on the host `base`–`base+65535`. One id more: the kernel writes into an overlay's upper and work directories
//! also as the host's root (its temporary files), so that root needs a number on disk too. It gets 65536, which no instance has.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
    pipe::{PipeFlags, pipe_with},
};

use mainstay_shim::{owners::IDS, spec::FileOwners};

use crate::system::{self, Fork};

use super::CreateError;

/// The mapping, held by a user namespace without processes.
#[derive(Debug)]
pub(super) struct Owners {
    /// `None`: the files have on disk the owners that they should have.
    namespace: Option<OwnedFd>,
    pub(super) base: u32,
}

impl Owners {
    pub(super) fn new(owners: FileOwners, base: u32) -> Result<Self, CreateError> {
        let namespace = match owners {
            FileOwners::Idmapped => {
                Some(user_namespace(base).map_err(CreateError::on("make a user namespace for file owners"))?)
            }
            FileOwners::Chowned => None,
        };
        Ok(Self { namespace, base })
    }

    /// A detached copy of the mount at `path`, seen with the instance's owners.
    pub(super) fn map(&self, path: &Path, attributes: u64) -> Result<OwnedFd, CreateError> {
        let mount = clone_mount(path)?;
        let namespace = self.namespace.as_ref().map(AsFd::as_fd);
        system::set_mount_attributes(mount.as_fd(), attributes, namespace)
            .map_err(CreateError::on_path("map the file owners of", path))?;
        Ok(mount)
    }

    /// False when the files have on disk the host's ids.
    pub(super) fn is_mapped(&self) -> bool {
        self.namespace.is_some()
    }

    /// The host's id of the owner of what is made for the instance outside of a mapped mount.
    pub(super) fn on_disk(&self) -> u32 {
        match self.namespace {
            Some(_) => 0,
            None => self.base,
        }
    }
}

/// A detached bind mount, without what is mounted below it.
pub(super) fn clone_mount(path: &Path) -> Result<OwnedFd, CreateError> {
    open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .map_err(io::Error::from)
    .map_err(CreateError::on_path("open the mount of", path))
}

pub(super) fn make_read_only(mount: &OwnedFd) -> io::Result<()> {
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    system::set_mount_attributes(mount.as_fd(), attributes, None)
}

/// Mounts a detached mount at a path of ours.
pub(super) fn attach_at(mount: &OwnedFd, target: &Path) -> Result<(), CreateError> {
    move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(io::Error::from)
        .map_err(CreateError::on_path("mount on", target))
}

/// A namespace lives as long as a descriptor of it: a child makes it, this process fills its maps, the child ends.
fn user_namespace(base: u32) -> io::Result<OwnedFd> {
    let (ready, child_ready) = pipe_with(PipeFlags::CLOEXEC)?;
    let (child_hold, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    match system::fork()? {
        Fork::Child => {
            drop((ready, hold));
            let code = match system::unshare_user_namespace() {
                Ok(()) => 0,
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            };
            let _ = File::from(child_ready).write_all(&[u8::try_from(code).unwrap_or(u8::MAX)]);
            // Ends when the parent drops its end, or dies.
            let _ = File::from(child_hold).read(&mut [0]);
            system::exit_now(0);
        }
        Fork::Parent { child } => {
            drop((child_ready, child_hold));
            let namespace = fill_maps(child, base, ready);
            drop(hold);
            system::reap_child(child)?;
            namespace
        }
    }
}

fn fill_maps(child: i32, base: u32, ready: OwnedFd) -> io::Result<OwnedFd> {
    let mut errno = [0];
    File::from(ready).read_exact(&mut errno)?;
    if errno[0] != 0 {
        return Err(io::Error::from_raw_os_error(i32::from(errno[0])));
    }
    let map = format!("0 {base} {IDS}\n{IDS} 0 1\n");
    fs::write(format!("/proc/{child}/uid_map"), &map)?;
    fs::write(format!("/proc/{child}/gid_map"), &map)?;
    Ok(File::open(format!("/proc/{child}/ns/user"))?.into())
}

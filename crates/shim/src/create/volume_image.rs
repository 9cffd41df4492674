//! A volume: the ext4 in an image file, mounted for one instance at a time.
//!
//! The mount lives in the shim's namespace and goes with it. A shim that was killed leaves it for as long as the last process of its
//! instance takes to end; mounted a second time meanwhile, both kernels' views would destroy the file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use mainstay_shim::{
    owners::{Block, Direction, move_tree},
    volume,
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::system;

use super::{CreateError, disk, idmap::Owners, scratch::c_path};

/// An earlier instance that is being killed unmounts when its last process is gone, after writing out what it had.
const FREE_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Mounts the volume at `target`, once nobody else has it; the lock that keeps others away.
pub(super) fn mount(image: &Path, id: &str, owners: &Owners, target: &Path) -> Result<File, CreateError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(image)
        .map_err(CreateError::on_path("open the volume", image))?;
    let deadline = Instant::now() + FREE_WITHIN;
    lock(&file, deadline).map_err(CreateError::on_path("lock the volume", image))?;
    wait_until_unused(image, deadline).map_err(CreateError::on_path("wait for the volume", image))?;
    check(&file, id).map_err(CreateError::on_path("use the volume", image))?;
    {
        let (device, _hold) = disk::attach(&file)?;
        // Deleted rows give their space back to the machine. What cannot be read is no longer written to either.
        system::mount(
            &c_path(&device)?,
            &c_path(target)?,
            c"ext4",
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOATIME,
            c"discard,errors=remount-ro",
        )
        .map_err(CreateError::on_path("mount the volume", image))?;
    }
    // Whichever way the last instance saw its owners, a crash in the middle of a change included.
    let direction = if owners.is_mapped() {
        Direction::ToInside
    } else {
        Direction::ToHost
    };
    move_tree(target, Block::new(owners.base), direction).map_err(CreateError::Owners)?;
    Ok(file)
}

fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another instance uses it")),
            locked => return Ok(locked?),
        }
    }
}

/// The lock goes with a shim, the mount with the last process of its instance.
fn wait_until_unused(image: &Path, deadline: Instant) -> io::Result<()> {
    let image = image.canonicalize()?;
    while is_behind_a_loop_device(&image)? {
        if Instant::now() >= deadline {
            return Err(io::Error::other("it is still mounted for an earlier instance"));
        }
        sleep(PAUSE);
    }
    Ok(())
}

fn is_behind_a_loop_device(image: &Path) -> io::Result<bool> {
    for entry in fs::read_dir("/sys/block")? {
        // A device that is let go in this moment has no file any more.
        let Ok(backing) = fs::read_to_string(entry?.path().join("loop/backing_file")) else {
            continue;
        };
        if Path::new(backing.trim_end_matches('\n')) == image {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check(file: &File, id: &str) -> io::Result<()> {
    match volume::identity_of(file)? {
        Some(found) if found == id => Ok(()),
        Some(found) => Err(io::Error::other(format!("it is the volume {found}, not {id}"))),
        None => Err(io::Error::other("there is no ext4 file system in it")),
    }
}

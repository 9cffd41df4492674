//! A real file system of a size that a test can fill: an ext4 in an image file, mounted where the platform has its data.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{run::run, wait_until};

const FORMATS_WITHIN: Duration = Duration::from_mins(1);
const TOOL_WITHIN: Duration = Duration::from_secs(20);
/// Namespaces of instances that end have a copy of the mount.
const LETS_GO_WITHIN: Duration = Duration::from_secs(20);

/// Mounted until the value is dropped.
#[derive(Debug)]
pub(super) struct SmallDisk {
    place: PathBuf,
    image: PathBuf,
}

impl SmallDisk {
    /// Of that many bytes, at the directory `place`, which is made.
    pub(super) fn mount(place: &Path, bytes: u64) -> Self {
        let image = place.with_extension("disk");
        let file = File::create(&image).expect("our own directory");
        file.set_len(bytes).expect("a file can have holes");
        fs::create_dir_all(place).expect("our own directory");
        // Nothing is set aside for root: the platform is root, too.
        let mut format = Command::new("mkfs.ext4");
        format
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1"])
            .arg(&image);
        let _ = run(&mut format, FORMATS_WITHIN).expect_success("mkfs.ext4");
        let disk = Self {
            place: place.to_owned(),
            image,
        };
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&disk.image).arg(place);
        let _ = run(&mut mount, TOOL_WITHIN).expect_success("mount");
        fs::set_permissions(place, fs::Permissions::from_mode(0o711)).expect("our own directory");
        disk
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount =
            |how: &[&str]| run(Command::new("umount").args(how).arg(&self.place), TOOL_WITHIN).is_success();
        if !wait_until(LETS_GO_WITHIN, || unmount(&[])) && !unmount(&["--lazy"]) {
            eprintln!("{} stays mounted", self.place.display());
        }
        drop(fs::remove_file(&self.image));
    }
}

/// What the file system may need for its own lists of what was taken at once.
const LISTS: u64 = 4 << 20;

/// Bytes of a disk that nobody else gets until the value is dropped.
#[derive(Debug)]
pub struct Ballast {
    file: PathBuf,
}

impl Ballast {
    /// Takes all but `free` bytes of the file system on which `directory` lies.
    pub(super) fn leave(directory: &Path, free: u64) -> Self {
        let ballast = Self {
            file: directory.join("ballast"),
        };
        let file = File::create(&ballast.file).expect("our own directory");
        let found = rustix::fs::statvfs(directory).expect("our own directory");
        let taken = (found.f_bavail * found.f_frsize).saturating_sub(free.max(LISTS));
        if taken > 0 {
            let taken = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, taken);
            taken.expect("there is as much as was said");
        }
        if free == 0 {
            let mut rest = File::options()
                .append(true)
                .open(&ballast.file)
                .expect("our own file");
            while rest.write_all(&[0; 4096]).is_ok() {}
        }
        ballast
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}

//! The writable layer: a directory of the data directory, or a file system of its own size when there is a limit.
//!
//! With a limit, a sparse image file is put behind a loop device, mounted and unlinked: from then on it exists only through the mount,
//! which goes with the namespace. No journal, for the content is never used after a crash.
//!
//! Formatting takes half as long as all the rest of a start, so it is done once per size: an empty file system of each is kept as a
//! template, some 150 KB of it not holes, and copied.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use mainstay_shim::{files::WRITABLE_DIRECTORY, spec::ShimSpec};
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use crate::{runtime, system};

use super::{CreateError, scratch::c_path};

/// An ext4 without journal needs at least this; smaller limits would fail in mkfs.
const DISK_BYTES_MIN: u64 = 1024 * 1024;

/// Making a file system of any size takes some ten milliseconds; a disk that hangs must not hang us.
const FORMAT_DEADLINE: Duration = Duration::from_mins(1);

/// Another shim may take the free loop device first.
const LOOP_ATTEMPTS: u32 = 64;

/// The directory with `upper` and `work` in it, which belong to a host's id.
pub(super) fn prepare(spec: &ShimSpec, mounts: &Path, owner: u32) -> Result<PathBuf, CreateError> {
    let writable = match spec.limits.disk_bytes {
        None => spec.data_dir.join(WRITABLE_DIRECTORY),
        Some(bytes) => limited(spec, mounts, bytes.max(DISK_BYTES_MIN))?,
    };
    for name in ["upper", "work"] {
        let directory = writable.join(name);
        // The upper directory's mode is the mode of the instance's `/`.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)
            .and_then(|()| chown(&directory, Some(owner), Some(owner)))
            .map_err(CreateError::on_path("create", &directory))?;
    }
    Ok(writable)
}

fn limited(spec: &ShimSpec, mounts: &Path, bytes: u64) -> Result<PathBuf, CreateError> {
    let image = spec.data_dir.join("disk.img");
    let outcome = empty_image(&spec.disk_templates, &image, bytes).and_then(|file| attach(&file));
    // Whatever comes of it, the name is not needed any more.
    let _ = fs::remove_file(&image);
    let (device, _hold) = outcome?;
    let target = mounts.join("disk");
    fs::create_dir(&target).map_err(CreateError::on_path("create", &target))?;
    // Punching holes keeps the image as small as its content; zeroing inode tables in the background would grow it for nothing. Nobody
    // reads it after a crash, so nothing in it waits for the disk.
    system::mount(
        &c_path(&device)?,
        &c_path(&target)?,
        c"ext4",
        libc::MS_NOSUID | libc::MS_NODEV,
        c"discard,noinit_itable,nobarrier",
    )
    .map_err(CreateError::on_path("mount the writable layer on", &target))?;
    Ok(target)
}

/// A copy of the template of that size, which is made if there is none.
fn empty_image(templates: &Path, image: &Path, bytes: u64) -> Result<File, CreateError> {
    let path = templates.join(format!("{bytes}.ext4"));
    let template = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_template(templates, &path, bytes)?;
            File::open(&path)
        }
        opened => opened,
    };
    let template = template.map_err(CreateError::on_path("open", &path))?;
    let file = create(image, bytes)?;
    copy_content(&template, &file, bytes).map_err(CreateError::on_path("fill", image))?;
    Ok(file)
}

/// Whole or absent: another shim may look for it at the same time, or make it too.
fn make_template(templates: &Path, path: &Path, bytes: u64) -> Result<(), CreateError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(templates)
        .map_err(CreateError::on_path("create", templates))?;
    let draft = templates.join(format!("draft-{}", std::process::id()));
    let made = create(&draft, bytes)
        .and_then(|_| format(&draft))
        .and_then(|()| fs::rename(&draft, path).map_err(CreateError::on_path("rename", &draft)));
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

fn create(image: &Path, bytes: u64) -> Result<File, CreateError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(image)
        .map_err(CreateError::on_path("create", image))?;
    file.set_len(bytes).map_err(CreateError::on_path("size", image))?;
    Ok(file)
}

/// Copies what is no hole.
fn copy_content(from: &File, to: &File, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut position = 0;
    while position < bytes {
        let start = match seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        position = start;
        while position < end {
            let length = buffer
                .len()
                .min(usize::try_from(end - position).unwrap_or(usize::MAX));
            from.read_exact_at(&mut buffer[..length], position)?;
            to.write_all_at(&buffer[..length], position)?;
            position += length as u64;
        }
    }
    Ok(())
}

fn format(image: &Path) -> Result<(), CreateError> {
    let mut child = Command::new("mkfs.ext4")
        .args([
            "-q",
            "-F",
            "-m",
            "0",
            "-i",
            "8192",
            "-O",
            "^has_journal,^resize_inode",
        ])
        .args(["-E", "lazy_itable_init=1,nodiscard"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(CreateError::on("run mkfs.ext4"))?;
    match runtime::wait(&mut child, FORMAT_DEADLINE) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(CreateError::on_path("format", image)(io::Error::other(format!(
            "mkfs.ext4 ended with {status}"
        )))),
        None => Err(CreateError::on_path("format", image)(
            io::ErrorKind::TimedOut.into(),
        )),
    }
}

/// The loop device, and a descriptor that keeps it until it is mounted.
pub(super) fn attach(image: &File) -> Result<(PathBuf, File), CreateError> {
    let failed = || CreateError::on("get a loop device");
    let control = File::open("/dev/loop-control").map_err(failed())?;
    let mut attempts = 0;
    loop {
        let number = system::free_loop_device(&control).map_err(failed())?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed())?;
        match system::attach_to_loop_device(&device, image) {
            Ok(()) => return Ok((path, device)),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempts < LOOP_ATTEMPTS => {
                attempts += 1;
            }
            Err(error) => return Err(failed()(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_what_is_no_hole_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = 64 << 20;
        let from = create(&directory.path().join("from"), bytes).unwrap();
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(&vec![7; 100_000], 20 << 20).unwrap();
        let to = create(&directory.path().join("to"), bytes).unwrap();
        copy_content(&from, &to, bytes).unwrap();
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        assert!(read("from") == read("to"));
        let allocated = to.metadata().unwrap().blocks() * 512;
        assert!(allocated < 1 << 20, "{allocated} bytes");
    }
}

//! The few mounts of this crate: an overlay to install packages into a layer, and a directory bound into it.

use std::{
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags};

/// A mount that ends with its guard.
#[derive(Debug)]
pub(crate) struct Mount {
    target: PathBuf,
}

impl Mount {
    /// Mounts `lower` (bottom first) below `upper` at `target`. `volatile`: nothing is synced on the way, the caller does it once at the
    /// end; package installation syncs thousands of files otherwise.
    pub(crate) fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<Self> {
        let lower: Vec<String> = lower
            .iter()
            .rev()
            .map(|path| path.display().to_string())
            .collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},volatile",
            lower.join(":"),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        rustix::mount::mount(
            "overlay",
            target,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )?;
        Ok(Self {
            target: target.to_owned(),
        })
    }

    /// Shows `source` at `target`.
    pub(crate) fn bind(source: &Path, target: &Path) -> io::Result<Self> {
        rustix::mount::mount_bind(source, target)?;
        Ok(Self {
            target: target.to_owned(),
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        detach(&self.target);
    }
}

/// Takes a mount away, also when something still uses it.
pub(crate) fn detach(target: &Path) {
    let unmounted = rustix::mount::unmount(target, UnmountFlags::empty())
        .or_else(|_| rustix::mount::unmount(target, UnmountFlags::DETACH));
    if let Err(error) = unmounted {
        tracing::warn!(%error, target = %target.display(), "cannot unmount");
    }
}

/// The mount points below a directory, innermost first.
pub(crate) fn below(directory: &Path) -> Vec<PathBuf> {
    let Ok(table) = fs::read("/proc/self/mountinfo") else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(unescape)
        .filter(|path| path.starts_with(directory))
        .collect();
    found.reverse();
    found
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(decoded) if byte == b'\\' => {
                plain.push(decoded);
                rest = &tail[3..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_mount_points_are_read() {
        assert_eq!(unescape(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(br"/plain\x"), Path::new(r"/plain\x"));
    }
}

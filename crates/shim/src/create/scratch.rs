//! A small tmpfs for mount points: it goes with the namespace, and the host's directory stays empty.

use std::{ffi::CStr, fs, os::unix::ffi::OsStrExt, path::Path};

use crate::system;

use super::CreateError;

/// Mount points and the layers' short names only.
const OPTIONS: &CStr = c"mode=0711,size=1m";

pub(super) fn prepare(directory: &Path) -> Result<(), CreateError> {
    fs::create_dir_all(directory).map_err(CreateError::on_path("create", directory))?;
    let target = c_path(directory)?;
    system::mount(
        c"mainstay",
        &target,
        c"tmpfs",
        libc::MS_NOSUID | libc::MS_NODEV,
        OPTIONS,
    )
    .map_err(CreateError::on_path("mount a tmpfs on", directory))
}

pub(super) fn c_path(path: &Path) -> Result<std::ffi::CString, CreateError> {
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(std::io::Error::from)
        .map_err(CreateError::on_path("use the path", path))
}

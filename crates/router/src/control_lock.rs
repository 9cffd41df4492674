//! Who owns the control socket: one supervisor, or one serving process that lost its own.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

/// Held until dropped, also by a process that is killed.
#[derive(Debug)]
pub struct ControlLock {
    _file: File,
}

impl ControlLock {
    /// `None` while another process holds it.
    pub fn try_take(control: &Path) -> io::Result<Option<Self>> {
        let mut name = control.as_os_str().to_owned();
        name.push(".lock");
        let file = File::options().create(true).append(true).open(&name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

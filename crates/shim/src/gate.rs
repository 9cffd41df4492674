//! A fifo at which a process waits until somebody reads from it.

use std::{fs, io, path::Path, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
};

/// Whoever waits there writes at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lets through who waits at the fifo, and removes it. False when nobody wrote: nothing was changed then.
pub(crate) fn open(path: &Path) -> io::Result<bool> {
    // Without waiting for a writer: that nobody comes must not hang. Its own opening succeeds with ours.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fifo = rustix::fs::open(path, flags, Mode::empty())?;
    let timeout = Timespec::try_from(PATIENCE).unwrap_or_default();
    poll(&mut [PollFd::new(&fifo, PollFlags::IN)], Some(&timeout))?;
    let mut byte = [0];
    match rustix::io::read(&fifo, &mut byte) {
        Ok(0) | Err(rustix::io::Errno::AGAIN) => Ok(false),
        Ok(_) => {
            // What is there still would count as not started.
            fs::remove_file(path)?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        (directory, path)
    }

    #[test]
    fn who_waits_is_let_through_once() {
        let (_directory, path) = fifo();
        let waits = {
            let path = path.clone();
            std::thread::spawn(move || fs::File::options().write(true).open(path)?.write_all(b"0"))
        };
        assert!(open(&path).unwrap());
        waits.join().unwrap().unwrap();
        assert!(!path.exists());
        assert!(open(&path).is_err(), "there is nothing to open any more");
    }

    #[test]
    fn where_nobody_waits_nothing_changes() {
        let (_directory, path) = fifo();
        assert!(!open(&path).unwrap());
        assert!(path.exists());
    }
}

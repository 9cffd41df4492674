//! What takes long to make is kept between runs, outside the checkout.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

const CACHE: &str = "/var/cache/mainstay-tests";
const OTHERS_KEPT: Duration = Duration::from_hours(24);

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(CACHE).join(name)
}

/// Waits until no other process has the lock; held until the file is dropped.
pub(crate) fn lock(name: &str) -> File {
    fs::create_dir_all(CACHE).expect("root may");
    let lock = File::create(path(name)).expect("root may");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be waited for");
    lock
}

/// Whoever uses something in time keeps it.
pub(crate) fn note_use(path: &Path) {
    let used = File::open(path).and_then(|directory| directory.set_modified(SystemTime::now()));
    used.expect("our own directory");
}

/// Removes directories that begin so and that nobody used for a day, but for the one of that name.
pub(crate) fn forget_others(prefix: &str, name: &str) {
    for entry in fs::read_dir(CACHE).into_iter().flatten().filter_map(Result::ok) {
        let other = entry.file_name() != name && entry.file_name().to_string_lossy().starts_with(prefix);
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        let age = used.map(|used| used.elapsed().unwrap_or_default());
        if other && age.is_ok_and(|age| age > OTHERS_KEPT) {
            // What stays now goes the next time.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

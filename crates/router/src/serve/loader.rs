//! Brings the newest snapshot into force. A bad one is reported; the last good one stays.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use super::shared::{Shared, lock};
use crate::{report, snapshot::Snapshot};

/// Changes that come faster than this are taken together: building a table costs CPU that requests want.
const LOAD_INTERVAL: Duration = Duration::from_millis(20);
/// The file is also read this often, should the kernel's notice of a change not come.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Loader {
    shared: Arc<Shared>,
    /// The text that was loaded last, good or bad.
    last: Mutex<Option<Vec<u8>>>,
}

impl Loader {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            last: Mutex::new(None),
        }
    }

    /// Reads the file and publishes its table if its text changed.
    pub fn refresh(&self) {
        let path = &self.shared.settings.snapshot;
        let mut last = lock(&self.last);
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                return self.refused(&format!("cannot read the snapshot {}: {error}", path.display()));
            }
        };
        if last.as_ref() == Some(&text) {
            return;
        }
        match Snapshot::parse(path, &text) {
            Ok(snapshot) => self.publish(snapshot),
            Err(error) => self.refused(&report::chain(&error)),
        }
        *last = Some(text);
    }

    fn publish(&self, snapshot: Snapshot) {
        let table = Arc::new(self.shared.tables.borrow().next(snapshot, &self.shared.endpoints));
        self.shared.endpoints.settle(&table);
        *lock(&self.shared.snapshot_error) = None;
        self.shared.tables.send_replace(table);
    }

    fn refused(&self, error: &str) {
        let mut known = lock(&self.shared.snapshot_error);
        if known.as_deref() != Some(error) {
            report::line(format_args!("the last good routes stay in force: {error}"));
            *known = Some(error.to_owned());
        }
    }

    /// Watches the snapshot's directory for ever.
    pub fn watch(&self) {
        let directory = self
            .shared
            .settings
            .snapshot
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let watch = Watch::on(directory.unwrap_or(Path::new(".")));
        if watch.is_none() {
            report::line(format_args!(
                "the kernel gives no notice of new routes; they are looked for every second"
            ));
        }
        loop {
            let started = Instant::now();
            self.refresh();
            std::thread::sleep(LOAD_INTERVAL.saturating_sub(started.elapsed()));
            match &watch {
                Some(watch) => watch.wait(),
                None => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }
}

#[derive(Debug)]
struct Watch(std::os::fd::OwnedFd);

impl Watch {
    fn on(directory: &Path) -> Option<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let what = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
        inotify::add_watch(&watch, directory, what).ok()?;
        Some(Self(watch))
    }

    /// Returns after a change, or after the poll interval. Which file it was does not matter: an unchanged text costs little.
    fn wait(&self) {
        let timeout = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout));
        let mut events = [0_u8; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|length| length > 0) {}
    }
}

//! `[databases]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, GIB, MIB, at_least};

const HOUR_SECONDS: u64 = 60 * 60;
const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;

/// What each database gets that the platform runs for an app.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatabasesConfig {
    pub memory_bytes: u64,
    pub cpu_millis: u32,
    pub pids: u32,
    /// Size of the volume's file system. On disk it takes what is used of it.
    pub disk_bytes: u64,
    pub backups: BackupsConfig,
}

/// Backups of each of these databases.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BackupsConfig {
    /// Between two by the schedule; 0: only those that somebody asks for.
    pub every_seconds: u64,
    /// Good ones that are kept, the newest.
    pub keep: u32,
    /// They are kept this long; the newest good one stays in any case.
    pub keep_seconds: u64,
    /// Of making and trying one; time in the queue is not counted.
    pub time_seconds: u64,
    /// Where their files are; below `data_dir` when not given.
    pub directory: Option<PathBuf>,
}

impl Default for DatabasesConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 * MIB,
            cpu_millis: 1000,
            pids: 256,
            disk_bytes: 10 * GIB,
            backups: BackupsConfig::default(),
        }
    }
}

impl Default for BackupsConfig {
    fn default() -> Self {
        Self {
            every_seconds: DAY_SECONDS,
            keep: 7,
            keep_seconds: 30 * DAY_SECONDS,
            time_seconds: 2 * HOUR_SECONDS,
            directory: None,
        }
    }
}

impl DatabasesConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let fields = [
            ("databases.memory_bytes", self.memory_bytes, 128 * MIB),
            ("databases.cpu_millis", u64::from(self.cpu_millis), 100),
            // PostgreSQL has a process per session.
            ("databases.pids", u64::from(self.pids), 64),
            ("databases.disk_bytes", self.disk_bytes, 512 * MIB),
            ("databases.backups.keep", u64::from(self.backups.keep), 1),
            ("databases.backups.time_seconds", self.backups.time_seconds, 10),
        ];
        at_least(&fields)
    }
}

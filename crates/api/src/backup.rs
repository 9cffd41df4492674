//! Addition: backups of the databases that the platform runs for an app.

use jiff::Timestamp;

use crate::wire::{wire_object, wire_words};

wire_words! {
    /// Where a backup stands.
    pub enum BackupState {
        Unknown = "UNKNOWN",
        /// Others are before it.
        Pending = "PENDING",
        Running = "RUNNING",
        /// Its file is whole, and being restored to be counted.
        Verifying = "VERIFYING",
        /// It was restored aside, and had what the database had.
        Good = "GOOD",
        Failed = "FAILED",
    }
}

wire_words! {
    /// What gave rise to a backup.
    pub enum BackupCause {
        Unknown = "UNKNOWN",
        Manual = "MANUAL",
        Schedule = "SCHEDULE",
    }
}

wire_words! {
    /// Why a backup is not good.
    pub enum BackupFailure {
        Unknown = "UNKNOWN",
        /// The database's server could not be asked.
        NotReady = "NOT_READY",
        /// The machine has no room for making or trying it.
        NoRoom = "NO_ROOM",
        /// A disk became full in the middle.
        DiskFull = "DISK_FULL",
        /// The database's content could not be taken.
        Dump = "DUMP",
        /// What was taken could not be restored.
        Restore = "RESTORE",
        /// Restored, it has other numbers of rows.
        CountsDiffer = "COUNTS_DIFFER",
        /// The file is not what was written.
        Checksum = "CHECKSUM",
        FileMissing = "FILE_MISSING",
        TimeLimit = "TIME_LIMIT",
        /// The server ended in the middle.
        Interrupted = "INTERRUPTED",
        Platform = "PLATFORM",
    }
}

wire_object! {
    /// A table, and how many rows it had.
    pub struct BackupTable {
        pub schema: String,
        pub name: String,
        pub rows: u64,
    }
}

wire_object! {
    /// A backup, or a try to make one.
    pub struct DatabaseBackup {
        pub id: String,
        pub state: BackupState,
        pub cause: BackupCause,
        /// Why it failed; left out of a backup that did not.
        pub failure: BackupFailure,
        /// The same in words.
        pub message: String,
        /// Of its file.
        pub size_bytes: u64,
        /// Of its file.
        pub sha256: String,
        /// Of all tables together.
        pub rows: u64,
        /// Not in lists.
        pub tables: Vec<BackupTable>,
        pub created_at: Option<Timestamp>,
        /// When it was found good, or failed.
        pub finished_at: Option<Timestamp>,
    }
}

wire_object! {
    pub struct BackupResponse {
        pub backup: DatabaseBackup,
    }
}

wire_object! {
    /// The newest first.
    pub struct BackupsResponse {
        pub backups: Vec<DatabaseBackup>,
    }
}

wire_words! {
    /// Where a restore stands. Up to SWITCHING the database has the data from before.
    pub enum RestoreState {
        Unknown = "UNKNOWN",
        /// Others are before it.
        Pending = "PENDING",
        /// The backup is read into a new volume, and counted there.
        Restoring = "RESTORING",
        /// The new volume is the database's; its server starts on it.
        Switching = "SWITCHING",
        Done = "DONE",
        Failed = "FAILED",
    }
}

wire_object! {
    /// A restore of a database, or a try.
    pub struct DatabaseRestore {
        pub id: String,
        pub backup_id: String,
        pub state: RestoreState,
        /// Why it failed; left out of one that did not.
        pub failure: BackupFailure,
        /// The same in words, or what else is to be said.
        pub message: String,
        pub created_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
    }
}

wire_object! {
    pub struct RestoreResponse {
        pub restore: DatabaseRestore,
    }
}

wire_object! {
    /// The newest first.
    pub struct RestoresResponse {
        pub restores: Vec<DatabaseRestore>,
    }
}

//! Files of backups: `<directory>/<database>/<backup>.dump`, readable by the server's user alone. Written whole or not at all, and read with
//! their checksum.

use std::{
    fs::{DirBuilder, File, remove_file},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use mainstay_images::store::free_bytes;
use mainstay_spec::ids::{BackupId, DatabaseId};
use mainstay_store::{BackupFailure, BackupRow};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

use super::{
    failure::{Failed, size},
    tool::Sink,
};
use crate::config::Config;

pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// The free space is looked at after so much.
const LOOK_EVERY_BYTES: u64 = 16 << 20;
const DRAFT: &str = "part";
const WHOLE: &str = "dump";

/// Where the backups of all databases are.
pub(super) fn directory(config: &Config) -> PathBuf {
    let elsewhere = config.databases.backups.directory.clone();
    elsewhere.unwrap_or_else(|| config.data_dir.join("backups"))
}

/// Where those of one are.
pub(super) fn directory_of(config: &Config, database: DatabaseId) -> PathBuf {
    directory(config).join(database.to_string())
}

pub(super) fn path(config: &Config, database: DatabaseId, backup: BackupId) -> PathBuf {
    directory_of(config, database).join(format!("{backup}.{WHOLE}"))
}

/// Which backup a file is of; `None` for one that is no whole backup.
pub(super) fn backup_of(file: &Path) -> Option<BackupId> {
    (file.extension()? == WHOLE).then_some(())?;
    file.file_stem()?.to_str()?.parse().ok()
}

/// Made if it is missing.
pub(super) fn make_directory(path: &Path) -> Result<(), Failed> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failed::of_file("make the directory of backups", &error))
}

/// Whether they are on another disk than the platform's own data.
pub(super) fn is_elsewhere(config: &Config) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    device(&directory(config)) != device(&config.data_dir)
}

/// What has to stay free where the file is written: the platform's own share, on the platform's own disk.
pub(super) fn reserve(config: &Config) -> u64 {
    if is_elsewhere(config) {
        0
    } else {
        config.capacity.disk_free_bytes
    }
}

/// A file that is being written. Dropped before it is whole, it is gone.
#[derive(Debug)]
pub(in crate::databases) struct Draft {
    path: PathBuf,
    file: BufWriter<tokio::fs::File>,
    digest: Sha256,
    bytes: u64,
    reserve: u64,
    is_whole: bool,
}

/// What was written.
#[derive(Debug)]
pub(in crate::databases) struct Written {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Draft {
    /// For the file at `path`; it is given up when less than `reserve` bytes stay free.
    pub(super) fn create(path: &Path, reserve: u64) -> Result<Self, Failed> {
        let path = path.with_extension(DRAFT);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Failed::of_file("make the file of a backup", &error))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(PIECE_BYTES, tokio::fs::File::from_std(file)),
            digest: Sha256::new(),
            bytes: 0,
            reserve,
            is_whole: false,
        })
    }

    /// Where it will be once it is whole.
    pub(in crate::databases) fn path(&self) -> PathBuf {
        self.path.with_extension(WHOLE)
    }

    /// On disk, whole, in its place.
    pub(in crate::databases) async fn finish(mut self) -> Result<Written, Failed> {
        self.put_in_place().await.map_err(|error| unwritten(&error))?;
        self.is_whole = true;
        Ok(Written {
            bytes: self.bytes,
            sha256: HEXLOWER.encode(&std::mem::take(&mut self.digest).finalize()),
        })
    }

    async fn put_in_place(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        let (from, to) = (self.path.clone(), self.path());
        tokio::task::spawn_blocking(move || {
            std::fs::rename(&from, &to)?;
            File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
        })
        .await
        .map_err(io::Error::other)?
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_whole
            && let Err(error) = remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "could not remove half a backup");
        }
    }
}

impl Sink for Draft {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        self.digest.update(&bytes);
        self.file
            .write_all(&bytes)
            .await
            .map_err(|error| unwritten(&error))?;
        let before = self.bytes;
        self.bytes += bytes.len() as u64;
        if self.reserve > 0 && before / LOOK_EVERY_BYTES != self.bytes / LOOK_EVERY_BYTES {
            let free = free_bytes(&self.path)
                .map_err(|error| Failed::new(BackupFailure::Platform, error.to_string()))?;
            if free < self.reserve {
                let message = format!(
                    "the disk became full after {}: {} are free, {} have to stay so",
                    size(self.bytes),
                    size(free),
                    size(self.reserve)
                );
                return Err(Failed::new(BackupFailure::DiskFull, message));
            }
        }
        Ok(())
    }
}

fn unwritten(error: &io::Error) -> Failed {
    Failed::of_file("write the backup to its disk", error)
}

/// A whole file that is read, to its end or to what is wrong with it.
#[derive(Debug)]
pub(in crate::databases) struct Stored {
    file: tokio::fs::File,
    digest: Option<Sha256>,
    wanted: String,
}

impl Stored {
    /// The backup's file, as long as it was.
    pub(super) async fn open(config: &Config, backup: &BackupRow) -> Result<Self, Failed> {
        let path = path(config, backup.database, backup.id);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failed::new(BackupFailure::FileMissing, "its file is gone"),
            _ => Failed::of_file("read its file", &error),
        };
        let file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let found = file.metadata().await.map_err(failed)?.len();
        if Some(found) != backup.bytes {
            return Err(damaged());
        }
        Ok(Self {
            file,
            digest: Some(Sha256::new()),
            wanted: backup.sha256.clone().unwrap_or_default(),
        })
    }

    /// The next piece; `None` at the end of a file that is what was written.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(digest) = &mut self.digest else {
            return Ok(None);
        };
        let mut piece = vec![0; PIECE_BYTES];
        let count = self.file.read(&mut piece).await;
        let count = count.map_err(|error| Failed::of_file("read its file", &error))?;
        piece.truncate(count);
        if count > 0 {
            digest.update(&piece);
            return Ok(Some(piece));
        }
        let found = self.digest.take().map(Sha256::finalize).unwrap_or_default();
        if HEXLOWER.encode(&found) == self.wanted {
            Ok(None)
        } else {
            Err(damaged())
        }
    }

    /// Reads it all, for its checksum alone.
    pub(super) async fn check(mut self) -> Result<(), Failed> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

fn damaged() -> Failed {
    Failed::new(
        BackupFailure::Checksum,
        "its file is not what was written: the checksum differs",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::Timestamp;
    use mainstay_store::{BackupCause, BackupState};

    use super::*;

    pub(crate) fn config(directory: &Path) -> Config {
        Config {
            data_dir: directory.to_owned(),
            ..Config::default()
        }
    }

    /// Where a new backup's file is to be.
    pub(crate) fn place_of(config: &Config) -> (DatabaseId, BackupId, PathBuf) {
        let database = DatabaseId::from_uuid(uuid::Uuid::new_v4());
        let id = BackupId::from_uuid(uuid::Uuid::new_v4());
        make_directory(&directory_of(config, database)).unwrap();
        (database, id, path(config, database, id))
    }

    pub(crate) fn row_of(database: DatabaseId, id: BackupId, written: Written) -> BackupRow {
        BackupRow {
            id,
            database,
            cause: BackupCause::Manual,
            state: BackupState::Good,
            failure: None,
            message: String::new(),
            bytes: Some(written.bytes),
            sha256: Some(written.sha256),
            tables: Vec::new(),
            created_at: Timestamp::now(),
            finished_at: None,
        }
    }

    async fn written(config: &Config, content: &[u8]) -> BackupRow {
        let (database, id, path) = place_of(config);
        let mut draft = Draft::create(&path, 0).unwrap();
        draft.take(content.to_vec()).await.unwrap();
        row_of(database, id, draft.finish().await.unwrap())
    }

    #[tokio::test]
    async fn one_flipped_bit_a_cut_and_a_missing_file_are_found() {
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path());
        let content = vec![7; PIECE_BYTES * 2 + 3];
        let backup = written(&config, &content).await;
        let file = path(&config, backup.database, backup.id);
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let directory = directory_of(&config, backup.database);
        assert_eq!(
            std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let check = async || Stored::open(&config, &backup).await?.check().await;
        assert_eq!(check().await, Ok(()));
        let mut flipped = content.clone();
        flipped[PIECE_BYTES] ^= 1;
        std::fs::write(&file, flipped).unwrap();
        assert_eq!(check().await.unwrap_err().kind, BackupFailure::Checksum);
        std::fs::write(&file, &content[1..]).unwrap();
        assert_eq!(check().await.unwrap_err().kind, BackupFailure::Checksum);
        remove_file(&file).unwrap();
        assert_eq!(check().await.unwrap_err().kind, BackupFailure::FileMissing);
    }

    #[tokio::test]
    async fn half_a_file_is_not_left() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("00000000-0000-4000-8000-000000000000.dump");
        let mut draft = Draft::create(&file, 0).unwrap();
        draft.take(vec![1; 100]).await.unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        // More than any disk has: after the first look it is given up.
        let mut greedy = Draft::create(&file, u64::MAX).unwrap();
        let piece = usize::try_from(LOOK_EVERY_BYTES).unwrap();
        let failed = greedy.take(vec![1; piece]).await.unwrap_err();
        assert_eq!(failed.kind, BackupFailure::DiskFull);
        drop(greedy);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_backup_is_known_by_its_file() {
        let id = "00000000-0000-4000-8000-000000000000";
        let of = |name: &str| backup_of(Path::new(name)).map(|id| id.to_string());
        assert_eq!(of(&format!("/b/{id}.dump")).as_deref(), Some(id));
        assert_eq!(of(&format!("/b/{id}.part")), None);
        assert_eq!(of("/b/x.dump"), None);
    }
}

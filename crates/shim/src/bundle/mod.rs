//! The OCI bundle: `config.json` as the runtime specification defines it, and the process file of an exec.

mod config;
mod isolation;
mod seccomp;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use mainstay_shim::{
    files::{self, Durability, FileError},
    protocol::ExecCommand,
    spec::ShimSpec,
};

use crate::create::Places;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("cannot create {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the configuration")]
    File(#[source] FileError),
}

/// Writes the bundle, readable by root alone: it holds the environment.
pub(crate) fn write(spec: &ShimSpec, places: &Places) -> Result<(), BundleError> {
    let directory = places.bundle();
    let created = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory);
    created
        .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)))
        .map_err(|source| BundleError::Directory {
            path: directory.clone(),
            source,
        })?;
    let config = config::container(spec, places, isolation::hard_limit_of_open_files());
    files::write_json(&directory.join("config.json"), &config, Durability::Process).map_err(BundleError::File)
}

/// Writes the process of an exec.
pub(crate) fn write_exec_process(
    path: &Path,
    spec: &ShimSpec,
    command: &ExecCommand,
) -> Result<(), BundleError> {
    let process = config::exec_process(spec, command, isolation::hard_limit_of_open_files());
    files::write_json(path, &process, Durability::Process).map_err(BundleError::File)
}

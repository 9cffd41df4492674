//! The run image's layer: a minimal Debian by `mmdebstrap`.

use std::{fs, path::Path, time::Duration};

use super::{USER_HOME, USER_ID, USER_NAME, sets};
use crate::{
    debian::{DebianError, apt, process::Tool, sources::Sources},
    mounts::Mount,
    settings::OperatorSettings,
    store::{LayerDraft, StoreError, files},
};

const DEADLINE: Duration = Duration::from_mins(30);

/// What mmdebstrap prints at each step, and what is said for it.
const STEPS: &[(&str, &str)] = &[
    ("I: running apt-get update", "fetching the lists of packages"),
    ("I: downloading packages", "downloading packages"),
    ("I: extracting archives", "unpacking the base system"),
    ("I: installing essential", "installing the base system"),
    ("I: installing remaining", "installing what apps need at run time"),
];

/// Installs the run set into the draft.
pub(super) async fn fill(
    draft: &LayerDraft,
    sources: &Sources,
    settings: &OperatorSettings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), DebianError> {
    write_dpkg_options(draft.path())?;
    {
        let _mounted = overlay(draft, &[draft.scratch("empty")?])?;
        let tool = apt::with_proxies(command(&draft.scratch("merged")?, sources, settings), settings);
        tool.run(|line| {
            let known = STEPS.iter().find(|(printed, _)| line.starts_with(printed));
            if let Some((_, said)) = known {
                say(said);
            }
        })
        .await?;
    }
    finish(draft.path())?;
    Ok(())
}

/// Mounts the draft's layer over `lower` (bottom first) at its scratch directory `merged`.
pub(super) fn overlay(draft: &LayerDraft, lower: &[std::path::PathBuf]) -> Result<Mount, DebianError> {
    let (work, merged) = (draft.scratch("work")?, draft.scratch("merged")?);
    Mount::overlay(lower, draft.path(), &work, &merged)
        .map_err(|source| DebianError::Mount { path: merged, source })
}

fn command(target: &Path, sources: &Sources, settings: &OperatorSettings) -> Tool {
    let mut arguments: Vec<String> = [
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        "--skip=check/empty",
        "--verbose",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--include={}", sets::RUN.join(",")));
    arguments.extend(
        apt_options(sources, settings)
            .into_iter()
            .map(|option| format!("--aptopt={option}")),
    );
    arguments.push(sources.suite.clone());
    arguments.push(target.display().to_string());
    arguments.extend(sources.lines());
    Tool::new("mmdebstrap", DEADLINE).arguments(arguments)
}

fn apt_options(sources: &Sources, settings: &OperatorSettings) -> Vec<String> {
    let mut options = vec![
        "APT::Install-Recommends \"false\"".to_owned(),
        "Acquire::Languages \"none\"".to_owned(),
        "Acquire::Retries \"3\"".to_owned(),
    ];
    options.extend(
        settings
            .ca_bundle
            .as_ref()
            .map(|path| format!("Acquire::https::CAInfo \"{}\"", path.display())),
    );
    if sources.is_snapshot() {
        options.push("Acquire::Check-Valid-Until \"false\"".to_owned());
    }
    options
}

/// Puts dpkg's options in place before there is a dpkg. Given to mmdebstrap, they would send each package through a filter that takes half
/// of the whole time.
fn write_dpkg_options(layer: &Path) -> Result<(), StoreError> {
    let directory = layer.join("etc/dpkg/dpkg.cfg.d");
    files::create_directory(&directory, 0o755)?;
    let path = directory.join("01-mainstay");
    fs::write(&path, sets::DPKG_OPTIONS).map_err(|error| StoreError::file("write", &path, error))
}

/// Removes the files below `directory`, but for licences.
fn leave_out(directory: &Path) -> Result<(), StoreError> {
    for path in files::list(directory)? {
        if path.is_dir() && !path.is_symlink() {
            leave_out(&path)?;
        } else if path.file_name().is_none_or(|name| name != sets::LICENCE) {
            files::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Takes out what mmdebstrap left of this machine, and makes the user known.
fn finish(layer: &Path) -> Result<(), StoreError> {
    let write = |name: &str, text: &str| {
        let path = layer.join(name);
        fs::write(&path, text).map_err(|error| StoreError::file("write", &path, error))
    };
    sets::LEFT_OUT
        .iter()
        .try_for_each(|directory| leave_out(&layer.join(directory)))?;
    write("etc/resolv.conf", "")?;
    write("etc/hostname", "")?;
    write(
        "etc/apt/apt.conf.d/99mmdebstrap",
        "APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n",
    )?;
    append(
        &layer.join("etc/passwd"),
        &format!("{USER_NAME}:x:{USER_ID}:{USER_ID}::{USER_HOME}:/bin/bash\n"),
    )?;
    append(&layer.join("etc/group"), &format!("{USER_NAME}:x:{USER_ID}:\n"))?;
    append(&layer.join("etc/shadow"), &format!("{USER_NAME}:!:1::::::\n"))?;
    home(&layer.join(USER_HOME.trim_start_matches('/')))
}

fn append(path: &Path, line: &str) -> Result<(), StoreError> {
    let failed = |error| StoreError::file("write", path, error);
    let text = fs::read_to_string(path).map_err(failed)?;
    fs::write(path, text + line).map_err(failed)
}

fn home(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::file("create", path, error);
    fs::create_dir_all(path).map_err(failed)?;
    std::os::unix::fs::chown(path, Some(USER_ID), Some(USER_ID)).map_err(failed)
}

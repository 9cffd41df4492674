//! The run image's layer: a minimal Debian by `mmdebstrap`.

use std::{fs, path::Path, time::Duration};

use super::{USER_HOME, USER_ID, USER_NAME, sets};
use crate::{
    debian::{DebianError, apt, process::Tool, sources::Sources},
    mounts::Mount,
    settings::OperatorSettings,
    store::{LayerDraft, StoreError},
};

const DEADLINE: Duration = Duration::from_mins(30);

/// Installs the run set into the draft.
pub(super) async fn fill(
    draft: &LayerDraft,
    sources: &Sources,
    settings: &OperatorSettings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), DebianError> {
    {
        let _mounted = overlay(draft, &[draft.scratch("empty")?])?;
        let tool = apt::with_proxies(command(&draft.scratch("merged")?, sources, settings), settings);
        tool.run(|line| {
            if let Some(step) = line.strip_prefix("I: ") {
                say(step.trim_end_matches("..."));
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
        sets::LEFT_OUT
            .iter()
            .map(|path| format!("--dpkgopt=path-exclude={path}")),
    );
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

/// Takes out what mmdebstrap left of this machine, and makes the user known.
fn finish(layer: &Path) -> Result<(), StoreError> {
    let write = |name: &str, text: &str| {
        let path = layer.join(name);
        fs::write(&path, text).map_err(|error| StoreError::file("write", &path, error))
    };
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

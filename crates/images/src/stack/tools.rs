//! The build image's layer: apt run inside of the run image, its changes kept in an overlay.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{bootstrap, sets};
use crate::{
    debian::{DebianError, apt::AptRoot},
    mounts::Mount,
    store::{LayerDraft, StoreError, files},
};

const DEADLINE: Duration = Duration::from_mins(30);
/// An empty directory of every Debian system; apt's state is shown there.
const APT_INSIDE: &str = "/mnt";
/// Traces of the installation that say nothing about what is installed.
const TRACES: &[&str] = &[
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/status-old",
];

/// Downloads the packages while the base system is still being made: resolved as if nothing were installed, which fetches some twice
/// and saves waiting.
pub(super) async fn prefetch(apt: &AptRoot, directory: PathBuf) -> Result<(), DebianError> {
    let nothing = directory.join("nothing-installed");
    fs::write(&nothing, "").map_err(|error| StoreError::file("write", &nothing, error))?;
    apt.update(&nothing).await?;
    apt.download(sets::BUILD, &nothing).await
}

/// Installs the build set into the draft, on top of `base`.
pub(super) async fn fill(draft: &LayerDraft, base: &Path, apt: &AptRoot) -> Result<(), DebianError> {
    apt.download(sets::BUILD, &base.join("var/lib/dpkg/status"))
        .await?;
    {
        let merged = draft.scratch("merged")?;
        let _system = bootstrap::overlay(draft, &[base.to_owned()])?;
        let _apt_inside =
            Mount::bind(&draft.scratch("apt")?, &merged.join(&APT_INSIDE[1..])).map_err(|source| {
                DebianError::Mount {
                    path: merged.clone(),
                    source,
                }
            })?;
        let tool = apt.tool(DEADLINE, Path::new(APT_INSIDE), Path::new("/var/lib/dpkg/status"))?;
        tool.inside(&merged)
            .arguments(["install", "--yes", "--no-download", "--"])
            .arguments(sets::BUILD)
            .run(|_| {})
            .await?;
    }
    for trace in TRACES {
        files::remove_tree(&draft.path().join(trace))?;
    }
    Ok(())
}

//! Asks the kernel, once per file system and life of the server, whether it maps file owners there.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mainstay_shim::{PROBE_OPTION, REFUSED_STATUS};
use tokio::{process::Command, time::timeout};

use crate::api::EngineError;

use super::Inner;

/// A few mounts.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the kernel said, by device number of the file system.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    maps: Mutex<HashMap<u64, bool>>,
}

impl Verdicts {
    fn get(&self, device: u64) -> Option<bool> {
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.get(&device).copied()
    }

    fn set(&self, device: u64, maps: bool) {
        let mut known = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(device, maps);
    }
}

/// Whether owners can be mapped on the file systems of all these paths and of the instances' own directories.
pub(super) async fn all_map(inner: &Inner, paths: &[&Path], id_base: u32) -> Result<bool, EngineError> {
    let own = inner.config.instances_dir();
    for path in paths.iter().copied().chain(std::iter::once(own.as_path())) {
        let metadata = path
            .metadata()
            .map_err(EngineError::during(format!("look at {}", path.display())))?;
        let maps = match inner.verdicts.get(metadata.dev()) {
            Some(maps) => maps,
            None => ask(inner, path, id_base).await?,
        };
        inner.verdicts.set(metadata.dev(), maps);
        if !maps {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn ask(inner: &Inner, path: &Path, id_base: u32) -> Result<bool, EngineError> {
    let operation = || format!("ask the kernel to map the file owners of {}", path.display());
    let scratch = scratch_directory(inner).map_err(EngineError::during(operation()))?;
    // An overlay takes directories; of a file, the one that holds it is on the same file system.
    let directory = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new("/"))
    };
    let asked = run_probe(inner, &scratch, directory, id_base).await;
    // Empty outside of the probe's own namespace.
    let _ = std::fs::remove_dir(&scratch);
    let output = asked.map_err(EngineError::during(operation()))?;
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(true),
        Some(status) if status == i32::from(REFUSED_STATUS) => {
            tracing::warn!(
                "this kernel does not map file owners on the file system of {}, layers there are copied for each app: {message}",
                directory.display()
            );
            Ok(false)
        }
        _ => Err(EngineError::during(operation())(format!(
            "{}: {message}",
            output.status
        ))),
    }
}

/// A directory of this probe alone: several starts may ask at the same time.
fn scratch_directory(inner: &Inner) -> std::io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = inner
        .config
        .run_dir
        .join(format!("probe-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

async fn run_probe(inner: &Inner, scratch: &Path, directory: &Path, id_base: u32) -> std::io::Result<Output> {
    let child = Command::new(inner.config.shim())
        .arg(PROBE_OPTION)
        .args([scratch, directory])
        .arg(id_base.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    timeout(DEADLINE, child.wait_with_output()).await?
}

//! Logs and records of removed instances. They are kept until somebody forgets them: they are the evidence of failures.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_images::store::tree_bytes;
use mainstay_shim::files::EXIT_RECORD_FILE;
use mainstay_spec::ids::InstanceId;

use crate::api::{EngineError, Remains};

use super::Inner;

/// Looks through every directory: about 5 µs per file.
pub(super) async fn remains(inner: &Arc<Inner>) -> Result<Vec<Remains>, EngineError> {
    let directory = inner.config.instances_dir();
    // Read before the instances: what is being started is known before it has a directory, so that one which is not known was removed.
    let listed = directories(&directory);
    let listed = listed.map_err(EngineError::during(format!("list {}", directory.display())))?;
    let present: HashSet<InstanceId> = inner.instances().keys().copied().collect();
    let looked = tokio::task::spawn_blocking(move || {
        let removed = listed.into_iter().filter(|(id, _)| !present.contains(id));
        removed.filter_map(|(id, path)| look(id, &path).ok()).collect()
    });
    looked
        .await
        .map_err(EngineError::during("look through the logs of removed instances"))
}

fn directories(directory: &Path) -> io::Result<Vec<(InstanceId, PathBuf)>> {
    let entries = fs::read_dir(directory)?.filter_map(Result::ok);
    let named = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    Ok(named.collect())
}

/// Fails for one that is being forgotten.
fn look(id: InstanceId, path: &Path) -> io::Result<Remains> {
    let record = fs::metadata(path.join(EXIT_RECORD_FILE)).or_else(|_| fs::metadata(path))?;
    Ok(Remains {
        id,
        bytes: tree_bytes(path)?,
        ended_at: record.modified()?,
    })
}

//! What an earlier server left: running instances to go on with, records to keep, remains to remove.

use std::{fs, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use mainstay_diagnosis::facts::ExitRecord;
use mainstay_shim::{
    files,
    protocol::{InstanceState, Reply, Request},
};
use mainstay_spec::ids::InstanceId;

use crate::api::EngineError;

use super::{
    Inner,
    config::LocalConfig,
    instance::{self, Identity, Instance, Life},
    lost,
    shim_client::ShimConnection,
};

pub(super) fn prepare_directories(config: &LocalConfig) -> Result<(), EngineError> {
    // Sizes that nobody asks for any more, drafts of killed shims, formats of an older version: what is needed is quickly made again.
    let templates = config.disk_templates();
    lost::remove_directory(&templates)
        .map_err(EngineError::during(format!("remove {}", templates.display())))?;
    for (directory, mode) in [(config.instances_dir(), 0o700), (config.run_dir.clone(), 0o711)] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&directory)
            .map_err(EngineError::during(format!("create {}", directory.display())))?;
    }
    Ok(())
}

/// Finds every instance that was not removed.
pub(super) async fn adopt_all(inner: &Arc<Inner>) -> Result<(), EngineError> {
    let directory = inner.config.instances_dir();
    let entries =
        fs::read_dir(&directory).map_err(EngineError::during(format!("list {}", directory.display())))?;
    for entry in entries.filter_map(Result::ok) {
        match read_identity(&entry.path()) {
            Ok(Some(identity)) => adopt(inner, identity).await,
            // Removed: only log and record are left. Or killed before it was anybody's.
            Ok(None) => {
                let copies = entry.path().join(files::COPIES_DIRECTORY);
                lost::remove_directory(&copies)
                    .map_err(EngineError::during(format!("remove {}", copies.display())))?;
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an instance's directory is not readable"
                );
            }
        }
    }
    Ok(())
}

fn read_identity(directory: &Path) -> Result<Option<Identity>, files::FileError> {
    files::read_json(&directory.join("instance.json"))
}

async fn adopt(inner: &Arc<Inner>, identity: Identity) {
    let id = identity.id;
    let instance = if let Some(exit) = recorded(inner, id) {
        ended(identity, exit)
    } else if let Some((state, connection)) = reach(inner, id).await {
        let instance = Instance::new(identity, Life::Starting);
        instance::follow(inner.clone(), instance.clone(), state, connection);
        instance
    } else {
        let exit = lost::settle(inner, &identity, None).await;
        inner.detach_network(&identity).await;
        ended(identity, exit)
    };
    inner.instances().insert(id, instance);
}

fn recorded(inner: &Inner, id: InstanceId) -> Option<ExitRecord> {
    files::read_json(&inner.config.places(id).exit_record())
        .ok()
        .flatten()
}

fn ended(identity: Identity, exit: ExitRecord) -> Arc<Instance> {
    let exit = Box::new(exit);
    Instance::new(identity, Life::Ended { state: None, exit })
}

async fn reach(inner: &Inner, id: InstanceId) -> Option<(InstanceState, ShimConnection)> {
    let mut connection = ShimConnection::open(&inner.config.places(id).socket())
        .await
        .ok()?;
    match connection.ask_soon(&Request::Status).await {
        Ok(Reply::Started(state)) => Some((state, connection)),
        _ => None,
    }
}

/// Removes everything of an ended instance but its log and record.
pub(super) async fn remove(inner: &Arc<Inner>, id: InstanceId) -> Result<(), EngineError> {
    let Some(instance) = inner.known(id) else {
        return Ok(());
    };
    let Life::Ended { state, .. } = instance.life() else {
        return Err(EngineError::plain(format!(
            "the instance {id} must end before it is removed"
        )));
    };
    if let Some(state) = state
        && !instance::shim_gone(state.shim).await
    {
        return Err(EngineError::plain(format!("the shim of {id} does not end")));
    }
    inner.detach_network(&instance.identity).await;
    let places = inner.config.places(id);
    let cgroup = inner.cgroup(&instance.identity);
    let clean = tokio::task::spawn_blocking(move || {
        // The shim has done this, unless it was killed.
        lost::end(&cgroup).map_err(EngineError::during(format!("remove the cgroup of {id}")))?;
        for directory in lost::remains(&places) {
            let operation = format!("remove {}", directory.display());
            lost::remove_directory(&directory).map_err(EngineError::during(operation))?;
        }
        match fs::remove_file(places.identity()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EngineError::during(format!(
                "remove {}",
                places.identity().display()
            ))(error)),
            _ => Ok(()),
        }
    });
    clean
        .await
        .map_err(EngineError::during(format!("remove the instance {id}")))??;
    inner.leave(id);
    Ok(())
}

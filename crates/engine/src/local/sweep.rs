//! Removes what carries our prefix and belongs to nobody: instances, cgroups, run directories, networks and host ids of apps.
//!
//! Logs and records of removed instances stay until they are forgotten: they are the evidence of failures.

use std::{collections::HashSet, fs, path::Path, sync::Arc, time::Duration};

use mainstay_diagnosis::facts::StopReason;
use mainstay_shim::{cgroup::Cgroup, protocol::Request};
use mainstay_spec::ids::{AppId, InstanceId};

use crate::api::{EngineError, SweepReport};

use super::{Inner, adopt, instance::Life, lost};

/// An instance that nobody wants is killed at once; more than this means that the kernel hangs.
const END_DEADLINE: Duration = Duration::from_mins(1);

pub(super) async fn sweep(
    inner: &Arc<Inner>,
    keep: &HashSet<InstanceId>,
    apps: &HashSet<AppId>,
) -> Result<SweepReport, EngineError> {
    let mut removed = Vec::new();
    for id in unwanted(inner, keep) {
        end_and_remove(inner, id).await?;
        removed.push(format!("instance {id}"));
    }
    removed.extend(remove_strays(inner).await?);
    removed.extend(inner.sweep_networks(keep, apps).await?);
    inner.retain_ids(apps)?;
    Ok(SweepReport { removed })
}

/// An instance that is being started is wanted by whoever starts it.
fn unwanted(inner: &Inner, keep: &HashSet<InstanceId>) -> Vec<InstanceId> {
    let instances = inner.instances();
    let known = instances.iter().filter(|(id, _)| !keep.contains(*id));
    known
        .filter(|(_, instance)| matches!(instance.life(), Life::Running(_) | Life::Ended { .. }))
        .map(|(id, _)| *id)
        .collect()
}

async fn end_and_remove(inner: &Arc<Inner>, id: InstanceId) -> Result<(), EngineError> {
    let instance = inner.get(id)?;
    if let Life::Running(_) = instance.life() {
        let request = Request::Stop {
            reason: StopReason::Shutdown,
            grace_period_ms: 0,
        };
        // A shim that does not answer is gone, and its instance is being ended as lost.
        let _ = inner.ask(id, &request).await;
    }
    let ended = tokio::time::timeout(END_DEADLINE, instance.ended()).await;
    ended.map_err(EngineError::during(format!(
        "end the instance {id}, which nobody wants"
    )))??;
    adopt::remove(inner, id).await
}

/// Cgroups and run directories without an instance.
async fn remove_strays(inner: &Arc<Inner>) -> Result<Vec<String>, EngineError> {
    let known: HashSet<String> = inner.instances().keys().map(InstanceId::short).collect();
    let inner = inner.clone();
    let removal = tokio::task::spawn_blocking(move || {
        let mut removed = Vec::new();
        remove_stray_cgroups(&inner, &known, &mut removed)?;
        remove_stray_directories(&inner.config.run_dir, &known, &mut removed)?;
        Ok(removed)
    });
    removal
        .await
        .map_err(EngineError::during("remove what belongs to nobody"))?
}

fn remove_stray_cgroups(
    inner: &Inner,
    known: &HashSet<String>,
    removed: &mut Vec<String>,
) -> Result<(), EngineError> {
    let root = &inner.config.cgroup_root;
    let top = format!("/{}", inner.config.prefix);
    for app in Cgroup::new(root, &top).children() {
        let app_path = format!("{top}/{app}");
        let app_cgroup = Cgroup::new(root, &app_path);
        let instances = app_cgroup.children();
        let (wanted, strays): (Vec<String>, Vec<String>) =
            instances.into_iter().partition(|name| known.contains(name));
        for stray in strays {
            let path = format!("{app_path}/{stray}");
            lost::end(&Cgroup::new(root, &path))
                .map_err(EngineError::during(format!("remove the cgroup {path}")))?;
            removed.push(format!("cgroup {path}"));
        }
        if wanted.is_empty() {
            // It may get an instance in this moment, and is then not empty: which is no fault.
            let _ = app_cgroup.remove_empty();
        }
    }
    let _ = Cgroup::new(root, &top).remove_empty();
    Ok(())
}

fn remove_stray_directories(
    run_dir: &Path,
    known: &HashSet<String>,
    removed: &mut Vec<String>,
) -> Result<(), EngineError> {
    let entries =
        fs::read_dir(run_dir).map_err(EngineError::during(format!("list {}", run_dir.display())))?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !ours || known.contains(&name) {
            continue;
        }
        let path = entry.path();
        lost::give_back(&path);
        lost::remove_directory(&path).map_err(EngineError::during(format!("remove {}", path.display())))?;
        removed.push(path.display().to_string());
    }
    Ok(())
}

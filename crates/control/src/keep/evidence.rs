//! Logs and records of what ended: looked up on disk and in the store, and deleted as [`choice`](super::choice) says.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use mainstay_images::store::tree_bytes;
use mainstay_spec::{
    ids::{AccountId, BuildId, DeploymentId},
    usage::Resource,
};
use tokio::time::Instant;

use super::{
    Freed,
    choice::{Choice, KeptLog, Log, LogLimits, Past, choose},
};
use crate::{
    config::KeepConfig,
    logs::Logs,
    platform::{Platform, PlatformError},
};

/// Bytes of the accounts' logs as the latest collection found and left them: counting them takes a walk over everything there is.
#[derive(Debug, Default)]
pub(crate) struct LogUse(Mutex<HashMap<AccountId, u64>>);

impl LogUse {
    pub(crate) fn of(&self, account: AccountId) -> u64 {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&account).copied().unwrap_or(0)
    }

    fn note(&self, accounts: HashMap<AccountId, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = accounts;
    }
}

/// Deletes what is too old or too much. With `shortage`, so much must go even if the budget would let it stay.
pub(super) async fn collect(
    platform: &Platform,
    shortage: u64,
    deadline: Instant,
) -> Result<Freed, PlatformError> {
    let config = &platform.config.keep;
    let past = past(platform).await?;
    let kept = kept(platform).await?;
    let mut limits = limits(config, &kept, shortage);
    limits.account_bytes_max = platform.store.limits_on(Resource::LogBytes).await?;
    let choice = choose(&past, kept, &limits);
    platform.log_use.note(choice.staying.clone());
    carry_out(platform, choice, deadline).await
}

fn limits(config: &KeepConfig, kept: &[KeptLog], shortage: u64) -> LogLimits {
    let used: u64 = kept.iter().map(|log| log.bytes).sum();
    let bytes_max = match shortage {
        0 => config.log_bytes_max,
        shortage => config.log_bytes_max.min(used.saturating_sub(shortage)),
    };
    LogLimits {
        now: SystemTime::now(),
        age_max: Duration::from_secs(config.log_seconds),
        bytes_max,
        account_bytes_max: HashMap::new(),
        deployments_max: config.deployments_max as usize,
        instances_max: config.instances_max as usize,
    }
}

async fn past(platform: &Platform) -> Result<Past, PlatformError> {
    let store = &platform.store;
    Ok(Past {
        deployments: store.past_deployments().await?,
        builds: store.past_builds().await?,
        instances: store.past_instances().await?,
        held: store
            .held_deployments(platform.config.keep.rollback_deployments)
            .await?,
    })
}

async fn kept(platform: &Platform) -> Result<Vec<KeptLog>, PlatformError> {
    let logs = platform.logs.clone();
    let mut kept = tokio::task::spawn_blocking(move || kept_logs(&logs))
        .await
        .map_err(io::Error::other)
        .and_then(|kept| kept)
        .map_err(|source| PlatformError::Io {
            operation: "look through the logs".into(),
            source,
        })?;
    let remains = platform.engine.remains().await?;
    kept.extend(remains.into_iter().map(|remains| KeptLog {
        log: Log::Instance(remains.id),
        bytes: remains.bytes,
        at: remains.ended_at,
    }));
    Ok(kept)
}

fn kept_logs(logs: &Logs) -> io::Result<Vec<KeptLog>> {
    let builds = kept_in(&logs.builds(), |id: BuildId| Log::Build(id))?;
    let deployments = kept_in(&logs.deployments(), |id: DeploymentId| Log::Deployment(id))?;
    Ok(builds.into_iter().chain(deployments).collect())
}

/// Logs by the ids that their directories are named by.
fn kept_in<T: std::str::FromStr>(directory: &Path, log: impl Fn(T) -> Log) -> io::Result<Vec<KeptLog>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let kept = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some(KeptLog {
            log: log(id),
            bytes: tree_bytes(&entry.path()).ok()?,
            at: entry.metadata().and_then(|metadata| metadata.modified()).ok()?,
        })
    };
    Ok(entries.flatten().filter_map(kept).collect())
}

/// What is not done by the deadline is chosen again the next time.
async fn carry_out(platform: &Platform, choice: Choice, deadline: Instant) -> Result<Freed, PlatformError> {
    let mut freed = Freed::default();
    let (mut logs, mut instances, mut deployments) = (0, 0, 0);
    for kept in choice.logs {
        if Instant::now() >= deadline {
            break;
        }
        match kept.log {
            Log::Build(id) => platform.logs.forget_build(id),
            Log::Deployment(id) => platform.logs.forget_deployment(id),
            Log::Instance(id) => platform.engine.forget(id).await?,
        }
        freed.bytes += kept.bytes;
        logs += 1;
    }
    // Rows after their logs: a log without a row would be found as nobody's only.
    for id in choice.instances {
        if Instant::now() < deadline {
            platform.store.forget_instance(id).await?;
            instances += 1;
        }
    }
    for id in choice.deployments {
        if Instant::now() < deadline && platform.store.forget_deployment(id).await? {
            deployments += 1;
        }
    }
    freed.count(logs, "logs");
    freed.count(instances, "records of instances");
    freed.count(deployments, "deployments");
    Ok(freed)
}

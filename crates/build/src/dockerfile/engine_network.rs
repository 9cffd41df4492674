//! Builds on the engine's build network: outbound only; no app, no host, no other build.
//!
//! buildah has to start inside the namespace, so something else must hold it before: `cat` reading from a pipe of ours. When the server
//! dies, the pipe closes and the holder ends with it.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mainstay_engine::local::network::{Networks, Tenant};
use mainstay_spec::ids::{BuildId, InstanceId};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::config::{BuildNetwork, NetworkNamespace};

const NAMESPACE_DEADLINE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The build network of the local engine.
#[derive(Debug)]
pub struct EngineBuildNetwork {
    networks: Arc<Networks>,
    /// Processes that keep a namespace alive; killed on drop.
    holders: Mutex<HashMap<BuildId, Child>>,
}

impl EngineBuildNetwork {
    pub fn new(networks: Arc<Networks>) -> Self {
        Self {
            networks,
            holders: Mutex::default(),
        }
    }

    fn holders(&self) -> std::sync::MutexGuard<'_, HashMap<BuildId, Child>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn name_servers(&self) -> io::Result<Vec<std::net::IpAddr>> {
        let text = self.networks.resolv_conf().await.map_err(io::Error::other)?;
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
        Ok(servers.filter_map(|server| server.trim().parse().ok()).collect())
    }
}

#[async_trait]
impl BuildNetwork for EngineBuildNetwork {
    async fn enter(&self, build: BuildId) -> io::Result<NetworkNamespace> {
        let name_servers = self.name_servers().await?;
        let (holder, path) = hold_namespace().await?;
        let pid = holder
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or(io::ErrorKind::NotFound)?;
        let attached = self.networks.attach(Tenant::Build, lease_of(build), pid).await;
        attached.map_err(io::Error::other)?;
        self.holders().insert(build, holder);
        Ok(NetworkNamespace { path, name_servers })
    }

    async fn leave(&self, build: BuildId) {
        if let Err(error) = self.networks.detach(lease_of(build)).await {
            tracing::error!(error = &error as &dyn std::error::Error, %build, "the build's network device is left");
        }
        let holder = self.holders().remove(&build);
        if let Some(mut holder) = holder {
            // It ends of SIGKILL at once; what cannot be killed is killed again on drop.
            let _ = holder.kill().await;
        }
    }
}

/// The network knows instances; a build is one for it.
fn lease_of(build: BuildId) -> InstanceId {
    InstanceId::from_uuid(*build.as_uuid())
}

/// A process in a new network namespace, and that namespace's file.
async fn hold_namespace() -> io::Result<(Child, PathBuf)> {
    let holder = Command::new("/usr/bin/unshare")
        .args(["--net", "--", "/bin/cat"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let pid = holder.id().ok_or(io::ErrorKind::NotFound)?;
    let deadline = Instant::now() + NAMESPACE_DEADLINE;
    while !has_become_cat(pid)? {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok((holder, PathBuf::from(format!("/proc/{pid}/ns/net"))))
}

/// `unshare` executes `cat` once it is in the new namespace.
fn has_become_cat(pid: u32) -> io::Result<bool> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end() == "cat")
}

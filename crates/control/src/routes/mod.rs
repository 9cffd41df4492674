//! The routes of all apps: one owner, one snapshot file, changed per app and acknowledged by the router.

mod process;
mod table;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use mainstay_router::{
    control::{Answer, Request},
    snapshot::{Host, Snapshot},
};
use mainstay_spec::ids::AppId;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::Mutex,
    time::timeout,
};

pub(crate) use process::{RouterProcess, RouterSettings};
pub(crate) use table::{Destinations, app_hosts};

/// How long the router may take to bring a snapshot into force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);

/// The router did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("could not write the routes snapshot {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the router's control socket {} does not answer", path.display())]
    Control {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the router did not bring snapshot {version} into force within {} s", IN_FORCE_WITHIN.as_secs())]
    NotInForce { version: u64 },
    #[error("the router refused: {message}")]
    Refused { message: String },
}

/// Changes routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    snapshot_path: PathBuf,
    control_path: PathBuf,
    current: Arc<Mutex<Snapshot>>,
}

impl Routes {
    /// Goes on from the snapshot on disk, so that a restart takes no route away.
    pub(crate) fn open(snapshot_path: PathBuf, control_path: PathBuf) -> Self {
        let current = std::fs::read(&snapshot_path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            snapshot_path,
            control_path,
            current: Arc::new(Mutex::new(current)),
        }
    }

    /// Replaces all hosts of an app. Returns once the router serves them.
    pub(crate) async fn set_app(&self, app: AppId, hosts: Vec<(String, Host)>) -> Result<(), RouteError> {
        self.promote(app, hosts, None).await
    }

    /// The same for an app whose candidate has proved itself: its route goes with the change.
    pub(crate) async fn promote(
        &self,
        app: AppId,
        hosts: Vec<(String, Host)>,
        candidate: Option<&str>,
    ) -> Result<(), RouteError> {
        self.change(|snapshot| {
            set_hosts(snapshot, app, hosts);
            if let Some(token) = candidate {
                snapshot.candidates.remove(token);
            }
        })
        .await
    }

    /// Takes away the hosts of apps that are not in `apps`.
    pub(crate) async fn keep_apps(&self, apps: &[AppId]) -> Result<(), RouteError> {
        let kept: Vec<String> = apps.iter().map(ToString::to_string).collect();
        self.change(|snapshot| {
            snapshot.hosts.retain(|_, host| kept.contains(&host.app));
            snapshot.candidates.clear();
        })
        .await
    }

    pub(crate) async fn set_candidate(&self, token: &str, host: Host) -> Result<(), RouteError> {
        self.change(|snapshot| {
            snapshot.candidates.insert(token.to_owned(), host);
        })
        .await
    }

    pub(crate) async fn clear_candidate(&self, token: &str) -> Result<(), RouteError> {
        self.change(|snapshot| {
            snapshot.candidates.remove(token);
        })
        .await
    }

    /// Waits until nothing uses the endpoint any more, at most `within`; says what is left.
    pub(crate) async fn drain(&self, endpoint: &str, within: Duration) -> Result<u64, RouteError> {
        let timeout_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Drain {
            endpoint: endpoint.to_owned(),
            timeout_ms,
        };
        match self.ask(&request, within + Duration::from_secs(5)).await? {
            Answer::TimedOut { in_flight } => Ok(in_flight),
            Answer::Error { message } => Err(RouteError::Refused { message }),
            _ => Ok(0),
        }
    }

    pub(crate) async fn status(&self) -> Result<Answer, RouteError> {
        self.ask(&Request::Status, Duration::from_secs(5)).await
    }

    /// Bytes that visitors were sent since the last call, by app.
    pub(crate) async fn take_traffic(&self) -> Result<BTreeMap<String, u64>, RouteError> {
        match self.ask(&Request::TakeTraffic, Duration::from_secs(5)).await? {
            Answer::Traffic { bytes } => Ok(bytes),
            Answer::Error { message } => Err(RouteError::Refused { message }),
            _ => Ok(BTreeMap::new()),
        }
    }

    pub(crate) async fn shut_down(&self, within: Duration) -> Result<(), RouteError> {
        let timeout_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.ask(&Request::Shutdown { timeout_ms }, within + Duration::from_secs(5))
            .await
            .map(|_| ())
    }

    async fn change(&self, edit: impl FnOnce(&mut Snapshot)) -> Result<(), RouteError> {
        let version = {
            let mut current = self.current.lock().await;
            let mut next = current.clone();
            edit(&mut next);
            if next == *current && current.version > 0 {
                return Ok(());
            }
            next.version += 1;
            next.write(&self.snapshot_path)
                .map_err(|source| RouteError::Write {
                    path: self.snapshot_path.clone(),
                    source,
                })?;
            let version = next.version;
            *current = next;
            version
        };
        self.wait_until_in_force(version).await
    }

    async fn wait_until_in_force(&self, version: u64) -> Result<(), RouteError> {
        let timeout_ms = u64::try_from(IN_FORCE_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let request = Request::WaitForVersion { version, timeout_ms };
        match self
            .ask(&request, IN_FORCE_WITHIN + Duration::from_secs(2))
            .await?
        {
            Answer::Done => Ok(()),
            Answer::Error { message } => Err(RouteError::Refused { message }),
            _ => Err(RouteError::NotInForce { version }),
        }
    }

    async fn ask(&self, request: &Request, within: Duration) -> Result<Answer, RouteError> {
        let asked = timeout(within, exchange(&self.control_path, request)).await;
        let answered = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        answered.map_err(|source| RouteError::Control {
            path: self.control_path.clone(),
            source,
        })
    }
}

fn set_hosts(snapshot: &mut Snapshot, app: AppId, hosts: Vec<(String, Host)>) {
    let app = app.to_string();
    snapshot.hosts.retain(|_, host| host.app != app);
    snapshot.hosts.extend(hosts);
}

async fn exchange(path: &std::path::Path, request: &Request) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

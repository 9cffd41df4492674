//! Short-lived links to logs and consoles: whoever holds one needs no token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mainstay_spec::ids::{AppId, DeploymentId, InstanceId, InvocationId};

use super::tokens::Access;

/// Clients open a link right away; historic ones are read a little later.
const VALID_FOR: Duration = Duration::from_mins(15);
const LINKS_MAX: usize = 10_000;

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Logs(LogWish),
    Exec {
        instance: InstanceId,
        app: AppId,
        /// Who asked for it.
        by: Access,
    },
}

/// Which logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogWish {
    pub app: AppId,
    pub deployment: DeploymentId,
    /// `None`: of all components.
    pub component: Option<String>,
    pub kind: LogKind,
    pub follow: bool,
    pub tail: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    Build,
    Deploy,
    Run,
    RunRestarted,
    /// Of one run of a job.
    Job {
        invocation: InvocationId,
    },
}

/// The links that are valid now. Lost with the server, like the connections that they are for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    links: Arc<Mutex<HashMap<String, (Link, Instant)>>>,
}

impl Links {
    /// The secret part of a new link.
    pub(crate) fn make(&self, link: Link) -> String {
        let secret = uuid::Uuid::new_v4().simple().to_string() + &uuid::Uuid::new_v4().simple().to_string();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        links.retain(|_, (_, made)| now.duration_since(*made) < VALID_FOR);
        if links.len() >= LINKS_MAX {
            links.clear();
        }
        links.insert(secret.clone(), (link, now));
        secret
    }

    /// A console opens once; logs may be read again while the link is valid.
    pub(crate) fn open(&self, secret: &str) -> Option<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let (link, made) = links.get(secret)?.clone();
        if made.elapsed() >= VALID_FOR {
            links.remove(secret);
            return None;
        }
        if matches!(link, Link::Exec { .. }) {
            links.remove(secret);
        }
        Some(link)
    }
}

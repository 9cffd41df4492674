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
/// Above it, the app that has most gives its oldest up: whoever asks for many takes nothing from others.
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

impl Link {
    fn app(&self) -> AppId {
        match self {
            Self::Logs(wish) => wish.app,
            Self::Exec { app, .. } => *app,
        }
    }
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
        if links.len() >= LINKS_MAX
            && let Some(oldest) = oldest_of_the_busiest(&links)
        {
            links.remove(&oldest);
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

/// The secret of the oldest link of the app with most.
fn oldest_of_the_busiest(links: &HashMap<String, (Link, Instant)>) -> Option<String> {
    let mut of_apps: HashMap<AppId, usize> = HashMap::new();
    for (link, _) in links.values() {
        *of_apps.entry(link.app()).or_default() += 1;
    }
    let (busiest, _) = of_apps.into_iter().max_by_key(|(_, count)| *count)?;
    let of_busiest = links.iter().filter(|(_, (link, _))| link.app() == busiest);
    let (oldest, _) = of_busiest.min_by_key(|(_, (_, made))| *made)?;
    Some(oldest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs_of(app: u128) -> Link {
        Link::Logs(LogWish {
            app: AppId::from_uuid(uuid::Uuid::from_u128(app)),
            deployment: DeploymentId::from_uuid(uuid::Uuid::nil()),
            component: None,
            kind: LogKind::Run,
            follow: false,
            tail: None,
        })
    }

    #[test]
    fn whoever_asks_for_many_links_takes_none_from_others() {
        let links = Links::default();
        let of_other = links.make(logs_of(1));
        let first = links.make(logs_of(2));
        for _ in 0..LINKS_MAX {
            links.make(logs_of(2));
        }
        assert_eq!(links.open(&of_other), Some(logs_of(1)));
        assert_eq!(links.open(&first), None, "its own oldest went");
        let count = links.links.lock().unwrap().len();
        assert_eq!(count, LINKS_MAX);
    }
}

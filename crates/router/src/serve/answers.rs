//! What a serving process answers to the control requests that concern it.

use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

use super::{loader::Loader, shared::Shared};
use crate::control::{Answer, Request, Status};

#[derive(Debug)]
pub struct Answers {
    pub shared: Arc<Shared>,
    pub loader: Arc<Loader>,
}

impl Answers {
    pub async fn answer(self: Rc<Self>, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(self.status()),
            Request::WaitForVersion { version, timeout_ms } => {
                self.loader.refresh();
                within(timeout_ms, self.in_force(version), || 0).await
            }
            Request::Drain { endpoint, timeout_ms } => self.drain(&endpoint, timeout_ms).await,
            Request::TakeTraffic => Answer::Traffic {
                bytes: self.shared.endpoints.traffic.take(),
            },
            Request::HandOver | Request::Shutdown { .. } | Request::Adopt => Answer::Error {
                message: "only a supervisor can do that, and this process has none".into(),
            },
        }
    }

    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            version: shared.tables.borrow().version,
            pid: std::process::id(),
            snapshot_error: shared.snapshot_error(),
            connections: shared.sum(|core| &core.connections),
            in_flight: shared.sum(|core| &core.in_flight),
            requests_total: shared.sum(|core| &core.requests_total),
            refusals_total: shared.refusals(),
            retries_total: shared.sum(|core| &core.retries_total),
            panics_total: shared.sum(|core| &core.panics_total),
            log_lines_dropped_total: shared
                .log
                .as_ref()
                .map_or(0, crate::access_log::AccessLog::dropped),
            endpoints: shared.endpoints.loads(),
            ..Status::default()
        }
    }

    /// Waits until all threads route by this version or a later one.
    async fn in_force(&self, version: u64) {
        let mut tables = self.shared.tables.subscribe();
        if tables.wait_for(|table| table.version >= version).await.is_ok() {
            self.shared.settled().await;
        }
    }

    async fn drain(&self, id: &str, timeout_ms: u64) -> Answer {
        self.loader.refresh();
        if self.shared.endpoints.is_routed(id) {
            return Answer::Error {
                message: format!("endpoint `{id}` is still in the routes; it cannot be drained"),
            };
        }
        let drained = async {
            self.shared.settled().await;
            self.shared.endpoints.drained(id).await;
        };
        within(timeout_ms, drained, || self.shared.endpoints.in_flight(id)).await
    }
}

async fn within(timeout_ms: u64, done: impl Future<Output = ()>, in_flight: impl FnOnce() -> u64) -> Answer {
    match tokio::time::timeout(Duration::from_millis(timeout_ms), done).await {
        Ok(()) => Answer::Done,
        Err(_) => Answer::TimedOut {
            in_flight: in_flight(),
        },
    }
}

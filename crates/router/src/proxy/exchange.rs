//! One request from its first byte to the last byte of its answer; dropping it counts it and writes its line to the access log.

use std::{cell::OnceCell, rc::Rc, sync::Arc, time::Instant};

use http::{HeaderValue, Method, Uri};

use super::{headers::Visitor, refusal::Refusal};
use crate::{
    access_log::Line,
    serve::{core::Core, shared::CoreCounters},
    table::{endpoint::Endpoint, traffic::AppTraffic},
};

/// Written to the log where the visitor left before there was an answer.
const VISITOR_LEFT: u16 = 499;

#[derive(Debug)]
pub struct Exchange {
    core: Rc<Core>,
    visitor: Rc<Visitor>,
    pub started: Instant,
    method: Method,
    pub uri: Uri,
    pub host: Option<HeaderValue>,
    pub id: HeaderValue,
    pub accept: Option<HeaderValue>,
    pub endpoint: Option<Arc<Endpoint>>,
    status: u16,
    detail: Option<&'static str>,
    pub bytes: u64,
    /// The app whose host was asked for.
    traffic: OnceCell<Arc<AppTraffic>>,
}

impl Exchange {
    pub fn begin(core: &Rc<Core>, visitor: &Rc<Visitor>, request: &http::request::Parts) -> Box<Self> {
        let counters = core.counters();
        CoreCounters::add(&counters.requests_total, 1);
        CoreCounters::add(&counters.in_flight, 1);
        Box::new(Self {
            core: Rc::clone(core),
            visitor: Rc::clone(visitor),
            started: Instant::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            host: request.headers.get(http::header::HOST).cloned(),
            id: super::headers::acceptable_request_id(&request.headers).unwrap_or_else(|| core.request_id()),
            accept: request.headers.get(http::header::ACCEPT).cloned(),
            endpoint: None,
            status: VISITOR_LEFT,
            detail: None,
            bytes: 0,
            traffic: OnceCell::new(),
        })
    }

    /// What the visitor is sent counts for this app from now on, whoever answers.
    pub fn counts_for(&self, app: &Arc<AppTraffic>) {
        let _ = self.traffic.set(Arc::clone(app));
    }

    pub fn refused(&mut self, refusal: &Refusal) {
        self.detail = Some(refusal.detail());
        self.core.shared.count_refusal(refusal.detail());
    }

    pub fn answered(&mut self, status: http::StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        CoreCounters::add(&self.core.counters().in_flight, -1);
        if let Some(app) = self.traffic.get().filter(|_| self.bytes > 0) {
            app.add(self.bytes);
        }
        let Some(log) = &self.core.shared.log else { return };
        let line = Line {
            host: self.host.as_ref().map_or(b"", |host| host.as_bytes()),
            method: self.method.as_str(),
            path: self.uri.path(),
            status: self.status,
            bytes: self.bytes,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            visitor: self.visitor.address_text.as_bytes(),
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.id.as_str()),
            detail: self.detail,
            request_id: self.id.as_bytes(),
        };
        self.core.log.borrow_mut().add(&line, log);
    }
}

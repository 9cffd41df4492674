//! Passing one request on: choose an instance, connect first, then send; try again only where nothing can happen twice.

use std::{
    cell::Cell,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::time::sleep_until;

use super::{
    balance::{self, AVOIDED_MS},
    body::{RequestBody, Source, UpstreamBody},
    connect::connect,
    copied::Copied,
    exchange::Exchange,
    headers,
    pool::{Lease, Sender},
    refusal::Refusal,
    route,
    tunnel::Tunnel,
};
use crate::{
    serve::{core::Core, shared::CoreCounters},
    snapshot::Protocol,
    table::{
        endpoint::{Endpoint, InFlight},
        host::Service,
    },
};

/// Instances that one request is offered to.
const INSTANCES_TRIED_MAX: usize = 3;
/// Pooled connections that may turn out dead for one request, before a new one is made.
const POOLED_TRIED_MAX: usize = 3;
/// Times that a request is sent again after it may have reached an app: enough for an instance that was just killed, few enough that
/// a request that kills its instance cannot take all of them along.
const RESENT_MAX: usize = 1;

/// A request that has been routed, on its way to an app.
#[derive(Debug)]
pub struct Forwarding {
    /// Taken while it is being sent.
    pub request: Option<Request<RequestBody>>,
    /// When the last piece of the request's body came.
    pub progress: Option<Rc<Cell<Instant>>>,
    /// The visitor's side of the connection, where an upgrade is wanted.
    pub upgrade: Option<OnUpgrade>,
    pub candidate: Option<HeaderValue>,
    /// The instance to try next.
    pub chosen: Option<Chosen>,
    pub tries: Tries,
}

/// An instance that counts this request.
#[derive(Debug)]
pub struct Chosen {
    in_flight: InFlight,
    protocol: Protocol,
}

#[derive(Debug, Default)]
pub struct Tries {
    unreachable: Vec<Arc<Endpoint>>,
    pooled_dead: usize,
    /// The instance at which it was lost after it had been sent.
    lost_at: Option<Arc<Endpoint>>,
    resent: usize,
    failure: Option<Refusal>,
}

/// How sending ended.
enum Outcome {
    Answered(Response<Incoming>),
    /// The connection was dead before anything was written.
    Untouched(Request<RequestBody>),
    /// It was sent, the connection ended without a byte of an answer, and here is a copy that may be sent again.
    Lost(Request<RequestBody>),
    Failed(Refusal),
}

/// Chooses the instance. There must be no `await` between taking the table and this: see [`Core::table`].
pub fn choose(core: &Core, service: &Service, tries: &Tries) -> Result<Option<Chosen>, Refusal> {
    if service.endpoints.is_empty() {
        return Err(Refusal::Unavailable(service.unavailable.clone()));
    }
    if tries.unreachable.len() >= INSTANCES_TRIED_MAX {
        return Ok(None);
    }
    let shared = &core.shared;
    let chosen = balance::choose(
        &service.endpoints,
        &tries.unreachable,
        tries.lost_at.as_ref(),
        || shared.now_ms(),
        core.turn(),
    );
    let Some(endpoint) = chosen else { return Ok(None) };
    if endpoint.in_flight() >= shared.settings.in_flight_per_endpoint_max {
        return Err(Refusal::EndpointSaturated);
    }
    Ok(Some(Chosen {
        in_flight: endpoint.enter(),
        protocol: service.protocol,
    }))
}

impl Forwarding {
    pub async fn run(
        &mut self,
        core: &Rc<Core>,
        exchange: &mut Exchange,
    ) -> Result<Response<Source>, Refusal> {
        let (mut response, lease) = self.ask(core, exchange).await?;
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::prepare_response(response.headers_mut(), is_upgrade);
        if !is_upgrade {
            return Ok(response.map(|incoming| Source::Upstream(UpstreamBody::new(incoming, lease))));
        }
        // An app that switches protocols without being asked has answered nothing that a visitor could read.
        let visitor = self.upgrade.take().ok_or(Refusal::UpstreamInvalid)?;
        let app = hyper::upgrade::on(&mut response);
        let tunnel = Tunnel { visitor, app, lease };
        Ok(response.map(|_| Source::Tunnel(Box::new(tunnel))))
    }

    async fn ask(
        &mut self,
        core: &Rc<Core>,
        exchange: &mut Exchange,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        loop {
            let chosen = self.next(core, exchange)?;
            let pooled = self.tries.pooled(core, &chosen);
            let is_pooled = pooled.is_some();
            let mut sender = match pooled {
                Some(sender) => sender,
                None => match Box::pin(connect(core, chosen.in_flight.endpoint(), chosen.protocol)).await {
                    Ok(sender) => sender,
                    Err(refusal) => {
                        self.tries.give_up(core, &chosen, refusal);
                        continue;
                    }
                },
            };
            match self.send(core, &mut sender, exchange.started).await {
                Outcome::Answered(response) => return Ok((response, lease(core, chosen, sender))),
                Outcome::Failed(refusal) => return Err(refusal),
                Outcome::Lost(_) if self.tries.resent >= RESENT_MAX => return Err(Refusal::UpstreamClosed),
                Outcome::Lost(copy) => {
                    self.tries.resent += 1;
                    self.tries.lost_at = Some(Arc::clone(chosen.in_flight.endpoint()));
                    self.request = Some(copy);
                }
                Outcome::Untouched(same) => self.request = Some(same),
            }
            CoreCounters::add(&core.counters().retries_total, 1);
            self.tries.lost(core, &chosen, is_pooled);
        }
    }

    /// The instance to try: for a second try, from the table that is in force by then.
    fn next(&mut self, core: &Core, exchange: &mut Exchange) -> Result<Chosen, Refusal> {
        let chosen = match self.chosen.take() {
            Some(chosen) => chosen,
            None => route::choose_again(core, exchange, self.candidate.as_ref(), &self.tries)?
                .ok_or_else(|| self.tries.failure.take().unwrap_or(Refusal::UpstreamUnreachable))?,
        };
        exchange.endpoint = Some(Arc::clone(chosen.in_flight.endpoint()));
        Ok(chosen)
    }

    async fn send(&mut self, core: &Core, sender: &mut Sender, started: Instant) -> Outcome {
        let request = self
            .request
            .take()
            .expect("it is put back before each further try");
        let copy = Copied::if_repeatable(core, &request);
        let limit = Limit {
            since: started,
            time: core.shared.settings.answer_timeout(),
            progress: self.progress.as_deref(),
        };
        let answer = match sender {
            Sender::Http1(sender) => limit.of(sender.try_send_request(request)).await,
            Sender::Http2(sender) => limit.of(Box::pin(sender.try_send_request(request))).await,
        };
        let mut error = match answer {
            None => return Outcome::Failed(Refusal::UpstreamSilent),
            Some(Ok(response)) => return Outcome::Answered(response),
            Some(Err(error)) => error,
        };
        if let Some(untouched) = error.take_message() {
            return Outcome::Untouched(untouched);
        }
        match (classify(error.error()), copy) {
            (Refusal::UpstreamClosed, Some(copy)) => Outcome::Lost(copy.request()),
            (refusal, _) => Outcome::Failed(refusal),
        }
    }
}

impl Tries {
    fn pooled(&self, core: &Core, chosen: &Chosen) -> Option<Sender> {
        if self.pooled_dead >= POOLED_TRIED_MAX {
            return None;
        }
        let (mut pool, endpoint) = (core.pool.borrow_mut(), chosen.in_flight.endpoint());
        match chosen.protocol {
            Protocol::Http1 => pool.take_http1(endpoint),
            Protocol::Http2 => pool.take_http2(endpoint),
        }
    }

    fn lost(&mut self, core: &Core, chosen: &Chosen, is_pooled: bool) {
        if is_pooled {
            self.pooled_dead += 1;
        } else {
            self.give_up(core, chosen, Refusal::UpstreamClosed);
        }
    }

    fn give_up(&mut self, core: &Core, chosen: &Chosen, refusal: Refusal) {
        let endpoint = chosen.in_flight.endpoint();
        endpoint.failed(core.shared.now_ms() + AVOIDED_MS);
        self.unreachable.push(Arc::clone(endpoint));
        self.failure = Some(refusal);
    }
}

fn lease(core: &Rc<Core>, chosen: Chosen, sender: Sender) -> Lease {
    let sender = match sender {
        Sender::Http1(sender) => Some(sender),
        Sender::Http2(_) => None,
    };
    Lease {
        core: Rc::clone(core),
        in_flight: chosen.in_flight,
        sender,
    }
}

fn classify(error: &hyper::Error) -> Refusal {
    if error.is_parse() {
        Refusal::UpstreamInvalid
    } else if error.is_user() {
        // The body that was being sent failed, and bodies come from the visitor.
        Refusal::BodyBroken
    } else {
        Refusal::UpstreamClosed
    }
}

/// How long an answer may take to begin.
struct Limit<'l> {
    since: Instant,
    time: Duration,
    /// When the last piece of the request's body came: it counts from there.
    progress: Option<&'l Cell<Instant>>,
}

impl Limit<'_> {
    /// `None` when the time was over first.
    async fn of<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        let mut timer = pin!(sleep_until((self.since + self.time).into()));
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => return Some(answered),
                () = &mut timer => {
                    let last = self.progress.map(Cell::get).filter(|last| last.elapsed() < self.time)?;
                    timer.as_mut().reset((last + self.time).into());
                }
            }
        }
    }
}

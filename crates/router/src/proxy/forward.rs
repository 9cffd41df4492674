//! Passing one request on: choose an instance, connect first, then send; try again only where nothing can happen twice.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant};

use http::{Method, Request, Response, request::Parts};
use hyper::body::Incoming;

use super::{
    balance::{self, AVOIDED_MS},
    body::RequestBody,
    connect::connect,
    exchange::Exchange,
    pool::{Lease, Sender},
    refusal::Refusal,
};
use crate::{
    serve::core::Core,
    snapshot::Protocol,
    table::{
        Table,
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

/// Finds the service in a table again: a new snapshot may have replaced its instances while one of them was tried.
pub trait FindService {
    fn find<'t>(&self, table: &'t Table) -> Option<&'t Service>;
}

#[derive(Debug)]
pub struct Outbound {
    pub request: Request<RequestBody>,
    /// When the last piece of the request's body came.
    pub progress: Option<Rc<Cell<Instant>>>,
}

/// One request's tries.
struct Tries<'x> {
    core: &'x Rc<Core>,
    unreachable: Vec<Arc<Endpoint>>,
    pooled_dead: usize,
    resent: usize,
}

/// An instance was chosen and counts this request.
struct Chosen {
    in_flight: InFlight,
    protocol: Protocol,
}

/// How sending ended.
enum Outcome {
    Answered(Response<Incoming>, Sender),
    /// The connection was dead before anything was written.
    Untouched(Request<RequestBody>),
    /// It was sent, the connection ended without a byte of an answer, and here is a copy that may be sent again.
    Lost(Request<RequestBody>),
    Failed(Refusal),
}

pub async fn forward(
    core: &Rc<Core>,
    place: &impl FindService,
    outbound: Outbound,
    exchange: &mut Exchange,
) -> Result<(Response<Incoming>, Lease), Refusal> {
    let mut tries = Tries {
        core,
        unreachable: Vec::new(),
        pooled_dead: 0,
        resent: 0,
    };
    let mut request = outbound.request;
    let mut failure = None;
    loop {
        let Some(chosen) = tries.choose(place)? else {
            return Err(failure.unwrap_or(Refusal::UpstreamUnreachable));
        };
        exchange.endpoint = Some(Arc::clone(chosen.in_flight.endpoint()));
        let (sender, is_pooled) = match tries.sender(&chosen).await {
            Ok(sender) => sender,
            Err(refusal) => {
                tries.give_up(&chosen);
                failure = Some(refusal);
                continue;
            }
        };
        match send(core, sender, request, outbound.progress.as_deref()).await {
            Outcome::Answered(response, sender) => return Ok((response, tries.lease(chosen, sender))),
            Outcome::Failed(refusal) => return Err(refusal),
            Outcome::Untouched(same) => request = same,
            Outcome::Lost(_) if tries.resent >= RESENT_MAX => return Err(Refusal::UpstreamClosed),
            Outcome::Lost(copy) => {
                tries.resent += 1;
                request = copy;
            }
        }
        failure = Some(Refusal::UpstreamClosed);
        if is_pooled {
            tries.pooled_dead += 1;
        } else {
            tries.give_up(&chosen);
        }
    }
}

impl Tries<'_> {
    /// There must be no `await` in here: see [`Core::table`].
    fn choose(&self, place: &impl FindService) -> Result<Option<Chosen>, Refusal> {
        let table = self.core.table();
        let service = place.find(&table).ok_or(Refusal::RouteUnknown)?;
        if service.endpoints.is_empty() {
            return Err(Refusal::Unavailable(service.unavailable.clone()));
        }
        if self.unreachable.len() >= INSTANCES_TRIED_MAX {
            return Ok(None);
        }
        let shared = &self.core.shared;
        let chosen = balance::choose(
            &service.endpoints,
            &self.unreachable,
            shared.now_ms(),
            self.core.turn(),
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

    async fn sender(&self, chosen: &Chosen) -> Result<(Sender, bool), Refusal> {
        let endpoint = chosen.in_flight.endpoint();
        if self.pooled_dead < POOLED_TRIED_MAX
            && let Some(sender) = self.pooled(endpoint, chosen.protocol)
        {
            return Ok((sender, true));
        }
        Ok((connect(self.core, endpoint, chosen.protocol).await?, false))
    }

    fn pooled(&self, endpoint: &Arc<Endpoint>, protocol: Protocol) -> Option<Sender> {
        let mut pool = self.core.pool.borrow_mut();
        match protocol {
            Protocol::Http1 => pool.take_http1(endpoint),
            Protocol::Http2 => pool.take_http2(endpoint),
        }
    }

    fn give_up(&mut self, chosen: &Chosen) {
        let endpoint = chosen.in_flight.endpoint();
        endpoint.failed(self.core.shared.now_ms() + AVOIDED_MS);
        self.unreachable.push(Arc::clone(endpoint));
    }

    fn lease(&self, chosen: Chosen, sender: Sender) -> Lease {
        let sender = match sender {
            Sender::Http1(sender) => Some(sender),
            Sender::Http2(_) => None,
        };
        Lease {
            core: Rc::clone(self.core),
            in_flight: chosen.in_flight,
            sender,
        }
    }
}

async fn send(
    core: &Core,
    mut sender: Sender,
    request: Request<RequestBody>,
    progress: Option<&Cell<Instant>>,
) -> Outcome {
    let copy = copy_if_repeatable(&request);
    let answer = async {
        match &mut sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    };
    let mut error = match in_time(core, answer, progress).await {
        None => return Outcome::Failed(Refusal::UpstreamSilent),
        Some(Ok(response)) => return Outcome::Answered(response, sender),
        Some(Err(error)) => error,
    };
    core.counters()
        .retries_total
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if let Some(untouched) = error.take_message() {
        return Outcome::Untouched(untouched);
    }
    match (classify(error.error()), copy) {
        (Refusal::UpstreamClosed, Some(copy)) => Outcome::Lost(copy),
        (refusal, _) => Outcome::Failed(refusal),
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

/// RFC 9110, section 9.2.2: what may be sent again without asking. A body cannot be had twice.
fn copy_if_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let repeatable = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    );
    let has_no_body = matches!(request.body(), RequestBody::Empty);
    let upgrades = request.headers().contains_key(http::header::UPGRADE);
    if !repeatable || !has_no_body || upgrades {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.version_mut() = request.version();
    Some(copy)
}

/// `None` when neither an answer began nor a piece of the request's body came for the limit's time.
async fn in_time<T>(
    core: &Core,
    answer: impl Future<Output = T>,
    progress: Option<&Cell<Instant>>,
) -> Option<T> {
    let limit = core.shared.settings.answer_timeout();
    let mut answer = std::pin::pin!(answer);
    let mut timer = std::pin::pin!(tokio::time::sleep(limit));
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => return Some(answered),
            () = &mut timer => {
                let last = progress.map(Cell::get).filter(|last| last.elapsed() < limit)?;
                timer.as_mut().reset((last + limit).into());
            }
        }
    }
}

/// The request for the app, with the path that its route asks for.
pub fn outbound(mut parts: Parts, path: Option<String>, protocol: Protocol, incoming: Incoming) -> Outbound {
    parts.uri = target(&parts, path, protocol);
    if protocol == Protocol::Http2 {
        parts.headers.remove(http::header::HOST);
        parts.headers.remove(http::header::TRANSFER_ENCODING);
        parts.version = http::Version::HTTP_2;
    } else {
        parts.version = http::Version::HTTP_11;
    }
    parts.extensions.clear();
    let (body, progress) = RequestBody::new(incoming);
    Outbound {
        request: Request::from_parts(parts, body),
        progress,
    }
}

/// Origin form for HTTP/1; HTTP/2 needs the authority.
fn target(parts: &Parts, path: Option<String>, protocol: Protocol) -> http::Uri {
    let is_origin_form = parts.uri.authority().is_none() && parts.uri.path() != "*";
    if path.is_none() && protocol == Protocol::Http1 && is_origin_form {
        return parts.uri.clone();
    }
    let path = path.unwrap_or_else(|| parts.uri.path().to_owned());
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = target.parse().ok();
    if protocol == Protocol::Http2 {
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = parts
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.as_bytes().try_into().ok());
    }
    http::Uri::from_parts(uri).unwrap_or_else(|_| parts.uri.clone())
}

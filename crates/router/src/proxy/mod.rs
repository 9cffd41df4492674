//! A request's way: check → route → pass on, serve a file or redirect → answer.

use std::{convert::Infallible, rc::Rc};

use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

pub mod balance;
pub mod body;
pub mod connect;
pub mod exchange;
pub mod forward;
pub mod headers;
pub mod page;
pub mod pool;
pub mod redirect;
pub mod refusal;
pub mod request_check;
pub mod tunnel;

use body::{AnswerBody, Source, UpstreamBody};
use exchange::Exchange;
use forward::FindService;
use headers::Visitor;
use refusal::Refusal;
use request_check::Place;
use tunnel::Tunnel;

use crate::{
    serve::core::Core,
    table::{
        Table,
        host::{Found, HostRoutes, Service, Target},
    },
};

/// Answers one request of a visitor. Never fails: every failure is an answer.
pub async fn handle(
    core: Rc<Core>,
    visitor: Rc<Visitor>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let mut exchange = Exchange::begin(&core, &visitor, &parts);
    let answer = answer(&core, &visitor, parts, incoming, &mut exchange).await;
    let mut response = answer.unwrap_or_else(|refusal| {
        exchange.refused(&refusal);
        page::refuse(&refusal, exchange.accept.as_ref(), &exchange.id)
    });
    response
        .headers_mut()
        .insert(headers::REQUEST_ID, exchange.id.clone());
    exchange.answered(response.status());
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if core.shared.is_retiring() && !is_upgrade {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let (parts, source) = response.into_parts();
    let body = match source {
        Source::Tunnel(tunnel) => {
            tunnel.open(&core, exchange);
            AnswerBody::new(Source::Empty, None)
        }
        source => AnswerBody::new(source, Some(exchange)),
    };
    Ok(Response::from_parts(parts, body))
}

/// Where the request belongs: found again in a newer table when it has to be tried again.
struct Wanted<'r> {
    candidate: Option<&'r str>,
    place: &'r Place<'r>,
}

impl Wanted<'_> {
    fn host<'t>(&self, table: &'t Table) -> Result<&'t HostRoutes, Refusal> {
        match self.candidate {
            Some(key) => table.candidate(key).ok_or(Refusal::CandidateUnknown),
            None => table.host(&self.place.host).ok_or(Refusal::HostUnknown),
        }
    }

    fn route<'t>(&self, table: &'t Table) -> Result<Found<'t>, Refusal> {
        self.host(table)?
            .find(&self.place.path)
            .ok_or(Refusal::RouteUnknown)
    }
}

impl FindService for Wanted<'_> {
    fn find<'t>(&self, table: &'t Table) -> Option<&'t Service> {
        self.route(table).ok()?.route.service()
    }
}

async fn answer(
    core: &Rc<Core>,
    visitor: &Visitor,
    mut parts: Parts,
    incoming: Incoming,
    exchange: &mut Exchange,
) -> Result<Response<Source>, Refusal> {
    let host = request_check::the_host(&parts.headers)?.clone();
    let uri = parts.uri.clone();
    let place = request_check::check(&parts, &host, &uri)?;
    let candidate = parts.headers.get(headers::CANDIDATE).cloned();
    let candidate = candidate
        .as_ref()
        .map(|key| key.to_str().map_err(|_| Refusal::CandidateUnknown))
        .transpose()?;
    let wanted = Wanted {
        candidate,
        place: &place,
    };

    let table = core.table();
    let found = wanted.route(&table)?;
    match &found.route.target {
        Target::Redirect(redirect) => Ok(redirect::answer(redirect, &host, &uri, &place.path)),
        // The table is held for as long as the file is opened.
        Target::Static(site) => {
            site.answer(
                &parts.method,
                &parts.headers,
                &site_path(&found, &place),
                &place.path,
            )
            .await
        }
        Target::Service(service) => {
            let path = changed_path(&found, &place, &uri);
            let protocol = service.protocol;
            let version = parts.version;
            let upgrade = headers::prepare_request(&mut parts.headers, visitor, &host, version, &exchange.id);
            let upgrade = upgrade.and_then(|_| parts.extensions.remove::<OnUpgrade>());
            // A table must not be kept alive by a slow request: its static sites hold directories open.
            drop(table);
            pass_on(
                core,
                &wanted,
                forward::outbound(parts, path, protocol, incoming),
                upgrade,
                exchange,
            )
            .await
        }
    }
}

/// The path for the app where it is not the one that came.
fn changed_path(found: &Found<'_>, place: &Place<'_>, uri: &http::Uri) -> Option<String> {
    let rewritten = found.rewritten(&place.path);
    rewritten.or_else(|| (place.path != uri.path()).then(|| place.path.clone().into_owned()))
}

fn site_path<'p>(found: &Found<'_>, place: &'p Place<'_>) -> std::borrow::Cow<'p, str> {
    found
        .rewritten(&place.path)
        .map_or(std::borrow::Cow::Borrowed(&*place.path), Into::into)
}

async fn pass_on(
    core: &Rc<Core>,
    wanted: &Wanted<'_>,
    outbound: forward::Outbound,
    upgrade: Option<OnUpgrade>,
    exchange: &mut Exchange,
) -> Result<Response<Source>, Refusal> {
    let (mut response, lease) = forward::forward(core, wanted, outbound, exchange).await?;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    headers::prepare_response(response.headers_mut(), is_upgrade);
    if !is_upgrade {
        return Ok(response.map(|incoming| Source::Upstream(UpstreamBody::new(incoming, lease))));
    }
    // An app that switches protocols without being asked has answered nothing that a visitor could read.
    let visitor = upgrade.ok_or(Refusal::UpstreamInvalid)?;
    let app = hyper::upgrade::on(&mut response);
    let tunnel = Tunnel { visitor, app, lease };
    Ok(response.map(|_| Source::Tunnel(Box::new(tunnel))))
}

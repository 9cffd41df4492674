//! What is to be done with a request. Nothing in here waits: between taking the table and counting the request on an instance, no
//! other task of this thread may run.

use std::{borrow::Cow, rc::Rc};

use http::{HeaderValue, Request, Response, Uri, Version, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    body::{RequestBody, Source},
    exchange::Exchange,
    forward::{self, Chosen, Forwarding, Tries},
    headers::{self, Headers, Origin, Visitor},
    redirect,
    refusal::Refusal,
    request_check::{self, Place},
};
use crate::{
    serve::core::{Core, ThreadTable},
    snapshot::Protocol,
    table::{
        Table,
        host::{Found, HostRoutes, Service, Target},
    },
};

/// What a request's route asks for.
#[derive(Debug)]
pub enum Decision {
    Answer(Box<Response<Source>>),
    Forward(Box<Forwarding>),
    Site(Box<SiteRequest>),
}

/// A request for a file.
#[derive(Debug)]
pub struct SiteRequest {
    table: ThreadTable,
    parts: Parts,
    host: HeaderValue,
    candidate: Option<HeaderValue>,
}

pub fn decide(
    core: &Rc<Core>,
    visitor: &Visitor,
    mut parts: Parts,
    incoming: Incoming,
    exchange: &Exchange,
) -> Result<Decision, Refusal> {
    let seen = Headers::of(&parts.headers);
    let place = request_check::check(&parts, &seen, exchange.host.as_ref(), &exchange.uri)?;
    let host = exchange.host.as_ref().ok_or(Refusal::HostMissing)?;
    let candidate = parts.headers.remove(headers::CANDIDATE);
    let table = core.table();
    let routes = routes(&table, &place, candidate.as_ref())?;
    // Probes are no visitors.
    if candidate.is_none() {
        exchange.counts_for(&routes.traffic);
    }
    let found = routes.find(&place.path).ok_or(Refusal::RouteUnknown)?;
    match &found.route.target {
        Target::Redirect(rule) => Ok(Decision::Answer(Box::new(redirect::answer(
            rule,
            host,
            &exchange.uri,
            &place.path,
        )))),
        Target::Static(_) => {
            let table = Rc::clone(&table);
            Ok(Decision::Site(Box::new(SiteRequest {
                table,
                parts,
                host: host.clone(),
                candidate,
            })))
        }
        Target::Service(service) => {
            let tries = Tries::default();
            let chosen = forward::choose(core, service, &tries)?;
            let path = changed_path(&found, &place, &exchange.uri);
            let origin = Origin {
                visitor,
                host,
                request_id: &exchange.id,
            };
            let upgrade = headers::prepare_request(&mut parts.headers, &seen, parts.version, &origin);
            let upgrade = upgrade.and_then(|_| parts.extensions.remove::<OnUpgrade>());
            let (body, progress) = RequestBody::new(incoming);
            let request = Some(outbound(parts, path, service, body));
            Ok(Decision::Forward(Box::new(Forwarding {
                request,
                progress,
                upgrade,
                candidate,
                chosen,
                tries,
            })))
        }
    }
}

/// For another try: the routes may have changed meanwhile, and with them the instances that may be asked.
pub fn choose_again(
    core: &Core,
    exchange: &Exchange,
    candidate: Option<&HeaderValue>,
    tries: &Tries,
) -> Result<Option<Chosen>, Refusal> {
    let host = exchange.host.as_ref().ok_or(Refusal::HostMissing)?;
    let place = request_check::place(host, &exchange.uri)?;
    let table = core.table();
    let service = find(&table, &place, candidate)?
        .route
        .service()
        .ok_or(Refusal::RouteUnknown)?;
    forward::choose(core, service, tries)
}

impl SiteRequest {
    pub async fn answer(&self) -> Result<Response<Source>, Refusal> {
        let place = request_check::place(&self.host, &self.parts.uri)?;
        let found = find(&self.table, &place, self.candidate.as_ref())?;
        let Target::Static(site) = &found.route.target else {
            return Err(Refusal::RouteUnknown);
        };
        let path = found
            .rewritten(&place.path)
            .map_or(Cow::Borrowed(&*place.path), Into::into);
        site.answer(&self.parts.method, &self.parts.headers, &path, &place.path)
            .await
    }
}

fn find<'t>(
    table: &'t Table,
    place: &Place<'_>,
    candidate: Option<&HeaderValue>,
) -> Result<Found<'t>, Refusal> {
    let routes = routes(table, place, candidate)?;
    routes.find(&place.path).ok_or(Refusal::RouteUnknown)
}

fn routes<'t>(
    table: &'t Table,
    place: &Place<'_>,
    candidate: Option<&HeaderValue>,
) -> Result<&'t HostRoutes, Refusal> {
    match candidate {
        Some(key) => key
            .to_str()
            .ok()
            .and_then(|key| table.candidate(key))
            .ok_or(Refusal::CandidateUnknown),
        None => table.host(&place.host).ok_or(Refusal::HostUnknown),
    }
}

/// The path for the app where it is not the one that came.
fn changed_path(found: &Found<'_>, place: &Place<'_>, uri: &Uri) -> Option<String> {
    let rewritten = found.rewritten(&place.path);
    rewritten.or_else(|| (place.path != uri.path()).then(|| place.path.clone().into_owned()))
}

/// The request for the app, with the path that its route asks for.
fn outbound(
    mut parts: Parts,
    path: Option<String>,
    service: &Service,
    body: RequestBody,
) -> Request<RequestBody> {
    if let Some(uri) = target(&parts, path, service.protocol) {
        parts.uri = uri;
    }
    if service.protocol == Protocol::Http2 {
        parts.headers.remove(header::HOST);
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.version = Version::HTTP_2;
    } else {
        parts.version = Version::HTTP_11;
    }
    parts.extensions.clear();
    Request::from_parts(parts, body)
}

/// Origin form for HTTP/1; HTTP/2 needs the authority. `None` where the target can stay as it came.
fn target(parts: &Parts, path: Option<String>, protocol: Protocol) -> Option<Uri> {
    let is_origin_form = parts.uri.authority().is_none() && parts.uri.path() != "*";
    if path.is_none() && protocol == Protocol::Http1 && is_origin_form {
        return None;
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
            .get(header::HOST)
            .and_then(|host| host.as_bytes().try_into().ok());
    }
    Uri::from_parts(uri).ok()
}

//! A request's way: check → route → pass on, serve a file or redirect → answer.

use std::{convert::Infallible, rc::Rc};

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

pub mod balance;
pub mod body;
pub mod connect;
pub mod copied;
pub mod exchange;
pub mod forward;
pub mod headers;
pub mod page;
pub mod pool;
pub mod redirect;
pub mod refusal;
pub mod request_check;
pub mod route;
pub mod tunnel;

use body::{AnswerBody, Source};
use exchange::Exchange;
use headers::Visitor;
use refusal::Refusal;
use route::Decision;

use crate::serve::core::Core;

/// Answers one request of a visitor. Never fails: every failure is an answer.
pub async fn handle(
    core: Rc<Core>,
    visitor: Rc<Visitor>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let mut exchange = Exchange::begin(&core, &visitor, &parts);
    let answer = match route::decide(&core, &visitor, parts, incoming, &exchange) {
        Ok(Decision::Forward(mut forwarding)) => forwarding.run(&core, &mut exchange).await,
        Ok(Decision::Site(request)) => Box::pin(request.answer()).await,
        Ok(Decision::Answer(response)) => Ok(*response),
        Err(refusal) => Err(refusal),
    };
    Ok(finish(&core, exchange, answer))
}

fn finish(
    core: &Rc<Core>,
    mut exchange: Box<Exchange>,
    answer: Result<Response<Source>, Refusal>,
) -> Response<AnswerBody> {
    let mut response = answer.unwrap_or_else(|refusal| {
        exchange.refused(&refusal);
        page::refuse(&refusal, exchange.accept.as_ref(), &exchange.id)
    });
    exchange.answered(response.status());
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(headers::REQUEST_ID, exchange.id.clone());
    if core.shared.is_retiring() && !is_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|source| match source {
        Source::Tunnel(tunnel) => {
            tunnel.open(core, exchange);
            AnswerBody::new(Source::Empty, None)
        }
        source => AnswerBody::new(source, Some(exchange)),
    })
}

//! Bodies in both directions: passed on piece by piece, never gathered.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{exchange::Exchange, pool::Lease, tunnel::Tunnel};
use crate::static_site::file_body::FileBody;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way to the app.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    Visitor {
        incoming: Incoming,
        progress: Rc<Cell<Instant>>,
    },
}

impl RequestBody {
    /// Also returns where the time of the last piece is kept, if pieces will come.
    pub fn new(incoming: Incoming) -> (Self, Option<Rc<Cell<Instant>>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let progress = Rc::new(Cell::new(Instant::now()));
        (
            Self::Visitor {
                incoming,
                progress: Rc::clone(&progress),
            },
            Some(progress),
        )
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Visitor { incoming, progress } => {
                let frame = ready!(Pin::new(incoming).poll_frame(context));
                progress.set(Instant::now());
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Visitor { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Visitor { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// Where an answer's body comes from.
#[derive(Debug)]
pub enum Source {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody),
    File(FileBody),
    /// No body: the connection becomes a tunnel once the answer is sent.
    Tunnel(Box<Tunnel>),
}

/// An app's answer; its connection goes back to the pool after the last piece.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl UpstreamBody {
    pub fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
        };
        body.release_at_end();
        body
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.finish();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match &frame {
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.finish();
                }
            }
            // An answer that broke off: the connection is of no more use.
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) => self.release_at_end(),
        }
        Poll::Ready(frame)
    }
}

/// An answer's body on its way to the visitor. Keeps its exchange open until it is sent or given up.
#[derive(Debug)]
pub struct AnswerBody {
    source: Source,
    exchange: Option<Box<Exchange>>,
}

impl AnswerBody {
    pub fn new(source: Source, exchange: Option<Box<Exchange>>) -> Self {
        Self { source, exchange }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.source {
            Source::Empty | Source::Tunnel(_) => None,
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Source::Upstream(body) => ready!(body.poll(context)).map(|frame| frame.map_err(Into::into)),
            Source::File(body) => ready!(body.poll(context)).map(|frame| frame.map_err(Into::into)),
        };
        if let (Some(exchange), Some(Ok(frame))) = (&mut self.exchange, &frame) {
            exchange.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Tunnel(_) => true,
            Source::Full(bytes) => bytes.is_empty(),
            Source::Upstream(body) => body.incoming.is_end_stream(),
            Source::File(body) => body.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Tunnel(_) => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.incoming.size_hint(),
            Source::File(body) => SizeHint::with_exact(body.left()),
        }
    }
}

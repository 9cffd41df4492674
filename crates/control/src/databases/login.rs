//! How a database's server is reached, whatever its engine: where, as whom, over what; and what kept a session from being had.

use std::{io, net::SocketAddr, time::Duration};

use mainstay_diagnosis::facts::DatabaseProblem;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_postgres::tls::TlsConnect;

use super::tls::{Encryption, Tls};

/// Of everything up to the first query.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Where to log in, and as whom.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) address: SocketAddr,
    /// The name on the server's certificate.
    pub(super) host: &'a str,
    pub(super) encryption: Encryption<'a>,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) database: &'a str,
}

/// What kept a session from being had, or ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) problem: DatabaseProblem,
    /// The server's own: an SQLSTATE, an error number, the first word of an error.
    pub(crate) server_code: Option<String>,
    pub(crate) message: String,
}

impl Trouble {
    pub(super) fn new(problem: DatabaseProblem, message: impl Into<String>) -> Self {
        Self {
            problem,
            server_code: None,
            message: message.into(),
        }
    }

    /// For a session that did not come to be within [`CONNECT_WITHIN`].
    pub(super) fn no_session() -> Self {
        let message = format!("no session within {} s", CONNECT_WITHIN.as_secs());
        Self::new(DatabaseProblem::TimedOut, message)
    }

    /// For a session in which nothing comes back any more.
    pub(super) fn no_answer() -> Self {
        Self::new(DatabaseProblem::TimedOut, "a query was not answered")
    }
}

/// A connection to a server, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Trouble> {
    TcpStream::connect(address)
        .await
        .map_err(|error| Trouble::new(unreachable_by(error.kind()), error.to_string()))
}

/// Makes TLS of a connection, unless none is asked for.
pub(super) async fn encrypted<S: Stream + 'static>(
    stream: S,
    login: &Login<'_>,
) -> Result<Box<dyn Stream>, Trouble> {
    let Some(tls) = Tls::new(login.host, login.encryption)? else {
        return Ok(Box::new(stream));
    };
    let inside = tls.connect(stream).await.map_err(|error| broken(&error))?;
    Ok(Box::new(inside))
}

pub(super) fn unreachable_by(kind: io::ErrorKind) -> DatabaseProblem {
    match kind {
        io::ErrorKind::ConnectionRefused => DatabaseProblem::Refused,
        io::ErrorKind::TimedOut => DatabaseProblem::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => DatabaseProblem::Unreachable,
        _ => DatabaseProblem::Other,
    }
}

/// What a connection that failed says.
pub(super) fn broken(error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Trouble::new(DatabaseProblem::Other, "the server closed the connection");
    }
    explained(error)
}

/// By the TLS error at its bottom, if there is one; with the words of the whole chain.
pub(super) fn explained(error: &(dyn std::error::Error + 'static)) -> Trouble {
    let chain: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(Some(error), |error| error.source()).collect();
    let mut tls = chain.iter().filter_map(|error| tls_error(*error));
    let problem = if tls.any(is_untrusted) {
        DatabaseProblem::CertificateUntrusted
    } else {
        DatabaseProblem::Other
    };
    let words: Vec<String> = chain.iter().map(ToString::to_string).collect();
    Trouble::new(problem, words.join(": "))
}

fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    inner.or_else(|| error.downcast_ref())
}

fn is_untrusted(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(_))
}

//! A session with a PostgreSQL server, and what kept one from being had: typed by the layer that failed.

use std::{io, net::SocketAddr, time::Duration};

use mainstay_diagnosis::facts::DatabaseProblem;
use tokio::{net::TcpStream, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};

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
    /// SQLSTATE.
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
}

/// An open session. Dropped, it ends.
pub(super) struct Session {
    pub(super) client: Client,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// Logs in, within [`CONNECT_WITHIN`].
    pub(super) async fn open(login: &Login<'_>) -> Result<Self, Trouble> {
        let opened = timeout(CONNECT_WITHIN, Self::connect(login)).await;
        opened.unwrap_or_else(|_| {
            let message = format!("no session within {} s", CONNECT_WITHIN.as_secs());
            Err(Trouble::new(DatabaseProblem::TimedOut, message))
        })
    }

    async fn connect(login: &Login<'_>) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(login.address)
            .await
            .map_err(|error| Trouble::new(unreachable_by(error.kind()), error.to_string()))?;
        let mut config = Config::new();
        config
            .user(login.user)
            .password(login.password)
            .dbname(login.database)
            .application_name("mainstay")
            .ssl_mode(SslMode::Disable);
        let failed = |error: tokio_postgres::Error| trouble(&error);
        // A connection's fault ends what the client waits for, and is told there.
        let (client, connection) = if let Some(tls) = Tls::new(login.host, login.encryption)? {
            config.ssl_mode(SslMode::Require);
            let (client, connection) = config.connect_raw(stream, tls).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(Self { client, connection })
    }
}

pub(super) fn unreachable_by(kind: io::ErrorKind) -> DatabaseProblem {
    match kind {
        io::ErrorKind::ConnectionRefused => DatabaseProblem::Refused,
        io::ErrorKind::TimedOut => DatabaseProblem::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => DatabaseProblem::Unreachable,
        _ => DatabaseProblem::Other,
    }
}

/// Decided by the server's SQLSTATE where there is one; never by its words.
pub(super) fn trouble(error: &tokio_postgres::Error) -> Trouble {
    if let Some(server) = error.as_db_error() {
        return Trouble {
            problem: problem_of(server.code()),
            server_code: Some(server.code().code().to_owned()),
            message: server.message().to_owned(),
        };
    }
    let chain: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        })
        .collect();
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

/// PostgreSQL manual, appendix A.
fn problem_of(code: &SqlState) -> DatabaseProblem {
    if *code == SqlState::CANNOT_CONNECT_NOW {
        DatabaseProblem::Starting
    } else if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN {
        DatabaseProblem::Ended
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        DatabaseProblem::NotPermitted
    } else if code.code().starts_with("28") {
        DatabaseProblem::LoginRefused
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        DatabaseProblem::ReadOnly
    } else if *code == SqlState::DISK_FULL {
        DatabaseProblem::StorageFull
    } else {
        DatabaseProblem::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_the_server_are_told_apart() {
        let rows = [
            ("57P03", DatabaseProblem::Starting),
            ("57P01", DatabaseProblem::Ended),
            ("57P02", DatabaseProblem::Ended),
            ("28P01", DatabaseProblem::LoginRefused),
            ("28000", DatabaseProblem::LoginRefused),
            ("42501", DatabaseProblem::NotPermitted),
            ("25006", DatabaseProblem::ReadOnly),
            ("53100", DatabaseProblem::StorageFull),
            ("XX000", DatabaseProblem::Other),
        ];
        for (code, problem) in rows {
            assert_eq!(problem_of(&SqlState::from_code(code)), problem, "{code}");
        }
    }
}

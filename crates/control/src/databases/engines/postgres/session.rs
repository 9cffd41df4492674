//! A session with a PostgreSQL server, and what kept one from being had: typed by the layer that failed.

use mainstay_diagnosis::facts::DatabaseProblem;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};

use crate::databases::{
    login::{self, CONNECT_WITHIN, Login, Trouble},
    tls::Tls,
};

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
        opened.unwrap_or_else(|_| Err(Trouble::no_session()))
    }

    async fn connect(login: &Login<'_>) -> Result<Self, Trouble> {
        let stream = login::connect(login.address).await?;
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

/// Decided by the server's SQLSTATE where there is one; never by its words.
pub(super) fn trouble(error: &tokio_postgres::Error) -> Trouble {
    if let Some(server) = error.as_db_error() {
        return Trouble {
            problem: problem_of(server.code()),
            server_code: Some(server.code().code().to_owned()),
            message: server.message().to_owned(),
        };
    }
    login::explained(error)
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

//! A session with a MariaDB or MySQL server: login, and questions whose answers are short.

use mainstay_diagnosis::facts::DatabaseProblem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::packets::{self, Answer, Failure, Greeting, Method};
use crate::databases::{
    login::{self, CONNECT_WITHIN, Login, Stream, Trouble},
    tls::Encryption,
};

/// Of what answers a short question.
const PACKET_BYTES_MAX: usize = 1 << 20;
const ROWS_MAX: usize = 10_000;
const COLUMNS_MAX: u64 = 16;
const QUERY: u8 = 3;
/// What a server says of a password that it does not know yet by heart: "show it whole".
const SHOW_PASSWORD: &[u8] = &[4];
const IS_GOOD: &[u8] = &[3];

/// An open session. Dropped, it ends.
pub(super) struct Session {
    wire: Wire,
}

/// Packets over a connection.
struct Wire {
    stream: Box<dyn Stream>,
    /// Of the next packet of this exchange.
    number: u8,
}

impl Session {
    /// Logs in, within [`CONNECT_WITHIN`]. `None` where the server wants to be shown the password in a way that is not spoken here: then it is
    /// not known whether it lets anybody in.
    pub(super) async fn open(login: &Login<'_>) -> Result<Option<Self>, Trouble> {
        let opened = timeout(CONNECT_WITHIN, Self::connect(login)).await;
        opened.unwrap_or_else(|_| Err(Trouble::no_session()))
    }

    async fn connect(login: &Login<'_>) -> Result<Option<Self>, Trouble> {
        let stream = login::connect(login.address).await?;
        let mut plain = Wire {
            stream: Box::new(stream),
            number: 0,
        };
        let first = plain.read().await?;
        if let Some(failure) = Failure::read(&first) {
            return Err(trouble(failure));
        }
        let greeting = Greeting::read(&first).ok_or_else(not_understood)?;
        let inside_tls = login.encryption != Encryption::None;
        let wire = if inside_tls {
            if !greeting.speaks_tls {
                let message = "the server does not speak TLS";
                return Err(Trouble::new(DatabaseProblem::Other, message));
            }
            plain
                .write(&packets::tls_request(!login.database.is_empty()))
                .await?;
            Wire {
                stream: login::encrypted(plain.stream, login).await?,
                number: plain.number,
            }
        } else {
            plain
        };
        let mut session = Self { wire };
        Ok(session.authenticate(login, &greeting).await?.then_some(session))
    }

    /// Whether it came so far that the server could decide.
    async fn authenticate(&mut self, login: &Login<'_>, greeting: &Greeting) -> Result<bool, Trouble> {
        let mut method = greeting.method.unwrap_or(Method::Native);
        let inside_tls = login.encryption != Encryption::None;
        let proof = method.proof(login.password, &greeting.challenge);
        let packet = packets::login(login.user, login.database, inside_tls, method, &proof);
        self.wire.write(&packet).await?;
        loop {
            let answer = Answer::read_at_login(&self.wire.read().await?).ok_or_else(not_understood)?;
            match answer {
                Answer::Done => return Ok(true),
                Answer::Failed(failure) => return Err(trouble(failure)),
                Answer::Switch {
                    method: name,
                    challenge,
                } => {
                    let Some(wanted) = Method::by_name(&name) else {
                        tracing::debug!(host = login.host, name, "a login method that is not spoken here");
                        return Ok(false);
                    };
                    method = wanted;
                    self.wire.write(&method.proof(login.password, &challenge)).await?;
                }
                Answer::More(found) if found == IS_GOOD => {}
                // Shown whole inside TLS alone; without it, clients ask for the server's key, which is not spoken here.
                Answer::More(found) if found == SHOW_PASSWORD && method == Method::CachingSha2 => {
                    if !inside_tls {
                        return Ok(false);
                    }
                    self.wire
                        .write(format!("{}\0", login.password).as_bytes())
                        .await?;
                }
                Answer::More(_) | Answer::Columns(_) => return Err(not_understood()),
            }
        }
    }

    /// The rows of the answer, within [`CONNECT_WITHIN`]; none for what is no question.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Trouble> {
        let answered = timeout(CONNECT_WITHIN, self.asked(sql)).await;
        answered.unwrap_or_else(|_| Err(Trouble::no_answer()))
    }

    async fn asked(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Trouble> {
        self.wire.number = 0;
        let mut request = vec![QUERY];
        request.extend(sql.as_bytes());
        self.wire.write(&request).await?;
        let columns = match Answer::read(&self.wire.read().await?).ok_or_else(not_understood)? {
            Answer::Done => return Ok(Vec::new()),
            Answer::Failed(failure) => return Err(trouble(failure)),
            Answer::Columns(columns) if columns <= COLUMNS_MAX => columns,
            _ => return Err(not_understood()),
        };
        // What the columns are called, and an end of that.
        for _ in 0..=columns {
            self.wire.read().await?;
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.wire.read().await?;
            if packets::is_end(&packet) {
                return Ok(rows);
            }
            if let Some(failure) = Failure::read(&packet) {
                return Err(trouble(failure));
            }
            if rows.len() == ROWS_MAX {
                return Err(not_understood());
            }
            rows.push(packets::row(&packet, columns).ok_or_else(not_understood)?);
        }
    }
}

impl Wire {
    async fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut head = [0; 4];
        let broken = |error: std::io::Error| login::broken(&error);
        self.stream.read_exact(&mut head).await.map_err(broken)?;
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        if length > PACKET_BYTES_MAX {
            return Err(not_understood());
        }
        self.number = head[3].wrapping_add(1);
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await.map_err(broken)?;
        Ok(packet)
    }

    /// Ours are short.
    async fn write(&mut self, packet: &[u8]) -> Result<(), Trouble> {
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut framed = vec![length[0], length[1], length[2], self.number];
        framed.extend(packet);
        self.number = self.number.wrapping_add(1);
        let sent = async {
            self.stream.write_all(&framed).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| login::broken(&error))
    }
}

fn not_understood() -> Trouble {
    let message = "the answer is not one of a MySQL server";
    Trouble::new(DatabaseProblem::Other, message)
}

fn trouble(failure: Failure) -> Trouble {
    Trouble {
        problem: problem_of(failure.number),
        server_code: Some(failure.number.to_string()),
        message: failure.message,
    }
}

/// Numbers of MySQL's and MariaDB's lists of errors.
fn problem_of(number: u16) -> DatabaseProblem {
    match number {
        // Access denied; the same for whoever gave no password.
        1045 | 1698 => DatabaseProblem::LoginRefused,
        // Not to this database; not from this host; not this statement.
        1044 | 1130 | 1142 | 1227 => DatabaseProblem::NotPermitted,
        // --read-only; read only mode; the transaction.
        1290 | 1836 | 1792 => DatabaseProblem::ReadOnly,
        // The disk; a table's or the memory tables' room.
        1021 | 1114 => DatabaseProblem::StorageFull,
        // Shutdown in progress; killed.
        1053 | 1927 => DatabaseProblem::Ended,
        3159 => DatabaseProblem::TlsRequired,
        _ => DatabaseProblem::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_server_are_told_apart() {
        let rows = [
            (1045, DatabaseProblem::LoginRefused),
            (1044, DatabaseProblem::NotPermitted),
            (1290, DatabaseProblem::ReadOnly),
            (1836, DatabaseProblem::ReadOnly),
            (1021, DatabaseProblem::StorageFull),
            (1053, DatabaseProblem::Ended),
            (3159, DatabaseProblem::TlsRequired),
            (1040, DatabaseProblem::Other),
            (1049, DatabaseProblem::Other),
        ];
        for (number, problem) in rows {
            assert_eq!(problem_of(number), problem, "{number}");
        }
    }
}

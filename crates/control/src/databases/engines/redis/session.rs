//! A session with a Redis server, in the few lines of its protocol (RESP, version 2) that the platform needs.

use mainstay_diagnosis::facts::DatabaseProblem;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

use crate::databases::{
    login::{self, CONNECT_WITHIN, Login, Stream, Trouble},
    tls::Encryption,
};

/// Of one line of the protocol.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// Of one value: a list of clients.
const VALUE_BYTES_MAX: usize = 4 << 20;
const VALUES_MAX: usize = 64;
/// What every TLS server sends first to whoever speaks without it: an alert (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 21;

/// An open session. Dropped, it ends.
pub(super) struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

impl Session {
    /// Logs in and chooses the database, within [`CONNECT_WITHIN`].
    pub(super) async fn open(login: &Login<'_>) -> Result<Self, Trouble> {
        let opened = timeout(CONNECT_WITHIN, Self::connect(login)).await;
        let opened = opened.unwrap_or_else(|_| Err(Trouble::no_session()));
        match opened {
            Err(silent) if is_wordless(&silent) && login.encryption == Encryption::None => {
                Err(if speaks_tls(login).await {
                    Trouble::new(DatabaseProblem::TlsRequired, silent.message)
                } else {
                    silent
                })
            }
            opened => opened,
        }
    }

    async fn connect(login: &Login<'_>) -> Result<Self, Trouble> {
        let stream = login::connect(login.address).await?;
        let stream = login::encrypted(stream, login).await?;
        let mut session = Self {
            stream: BufReader::new(stream),
        };
        session.authenticate(login).await.map_err(|trouble| Trouble {
            // A server that does not know the command repeats it, with what was to be kept.
            message: without(&trouble.message, login.password),
            ..trouble
        })?;
        if !login.database.is_empty() {
            session.command(&["SELECT", login.database]).await?;
        }
        Ok(session)
    }

    async fn authenticate(&mut self, login: &Login<'_>) -> Result<(), Trouble> {
        match (login.user, login.password) {
            (_, "") => return Ok(()),
            // Servers before version 6 know nothing but a password.
            ("" | "default", password) => self.command(&["AUTH", password]).await?,
            (user, password) => self.command(&["AUTH", user, password]).await?,
        };
        Ok(())
    }

    /// As [`Self::command`], within [`CONNECT_WITHIN`].
    pub(super) async fn answered(&mut self, words: &[&str]) -> Result<Vec<String>, Trouble> {
        let answered = timeout(CONNECT_WITHIN, self.command(words)).await;
        answered.unwrap_or_else(|_| Err(Trouble::no_answer()))
    }

    /// The values of the answer: one, or those of a list.
    pub(super) async fn command(&mut self, words: &[&str]) -> Result<Vec<String>, Trouble> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let sent = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await
        };
        // A server that has no room for one more client says so before it is asked, and closes.
        let sent = sent.await;
        match self.answer().await {
            Err(silent) if silent.server_code.is_none() => Err(match sent {
                Err(error) => login::broken(&error),
                Ok(()) => silent,
            }),
            answer => answer,
        }
    }

    async fn answer(&mut self) -> Result<Vec<String>, Trouble> {
        let (kind, text) = self.line().await?;
        match kind {
            b'+' | b':' => Ok(vec![text]),
            b'$' => Ok(vec![self.value(&text).await?]),
            b'-' => Err(refused(&text)),
            b'*' => {
                let count = text.parse::<usize>().ok().filter(|count| *count <= VALUES_MAX);
                let mut values = Vec::new();
                for _ in 0..count.ok_or_else(not_understood)? {
                    let (kind, text) = self.line().await?;
                    values.push(match kind {
                        b'+' | b':' => text,
                        b'$' => self.value(&text).await?,
                        _ => return Err(not_understood()),
                    });
                }
                Ok(values)
            }
            TLS_ALERT => Err(Trouble::new(
                DatabaseProblem::TlsRequired,
                "the server answers with TLS",
            )),
            _ => Err(not_understood()),
        }
    }

    /// What a line begins with, and the rest of it.
    async fn line(&mut self) -> Result<(u8, String), Trouble> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line).await;
        read.map_err(|error| login::broken(&error))?;
        let Some((kind, rest)) = line.split_first() else {
            return Err(login::broken(&std::io::ErrorKind::UnexpectedEof.into()));
        };
        Ok((*kind, String::from_utf8_lossy(rest).trim_end().to_owned()))
    }

    /// Of so many bytes, and the end of its line. A length below zero is a value that is not there.
    async fn value(&mut self, length: &str) -> Result<String, Trouble> {
        let length: i64 = length.parse().map_err(|_| not_understood())?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(String::new());
        };
        if length > VALUE_BYTES_MAX {
            return Err(not_understood());
        }
        let mut bytes = vec![0; length + 2];
        let read = self.stream.read_exact(&mut bytes).await;
        read.map_err(|error| login::broken(&error))?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Connected, and closed without an answer: so a server does that speaks TLS alone, where its alert did not come through.
fn is_wordless(trouble: &Trouble) -> bool {
    trouble.problem == DatabaseProblem::Other && trouble.server_code.is_none()
}

async fn speaks_tls(login: &Login<'_>) -> bool {
    let with_tls = Login {
        encryption: Encryption::Unverified,
        ..*login
    };
    let greeted = async {
        let stream = login::connect(with_tls.address).await?;
        login::encrypted(stream, &with_tls).await.map(drop)
    };
    matches!(timeout(CONNECT_WITHIN, greeted).await, Ok(Ok(())))
}

fn not_understood() -> Trouble {
    Trouble::new(DatabaseProblem::Other, "the answer is not one of a Redis server")
}

fn without(message: &str, secret: &str) -> String {
    if secret.is_empty() {
        message.to_owned()
    } else {
        message.replace(secret, "…")
    }
}

/// `WRONGPASS invalid username-password pair or user is disabled.`: decided by the first word.
fn refused(text: &str) -> Trouble {
    let (code, message) = text.split_once(' ').unwrap_or((text, text));
    Trouble {
        problem: problem_of(code),
        server_code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}

fn problem_of(code: &str) -> DatabaseProblem {
    match code {
        "WRONGPASS" | "NOAUTH" => DatabaseProblem::LoginRefused,
        "LOADING" => DatabaseProblem::Starting,
        "NOPERM" => DatabaseProblem::NotPermitted,
        // Of a replica; and of a server whose changes could not be written to its disk, and that takes no more of them.
        "READONLY" | "MISCONF" | "MASTERDOWN" | "NOREPLICAS" => DatabaseProblem::ReadOnly,
        "OOM" => DatabaseProblem::StorageFull,
        _ => DatabaseProblem::Other,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[test]
    fn words_of_the_server_are_told_apart() {
        let rows = [
            (
                "WRONGPASS invalid username-password pair",
                DatabaseProblem::LoginRefused,
            ),
            ("NOAUTH Authentication required.", DatabaseProblem::LoginRefused),
            (
                "LOADING Redis is loading the dataset in memory",
                DatabaseProblem::Starting,
            ),
            (
                "READONLY You can't write against a read only replica.",
                DatabaseProblem::ReadOnly,
            ),
            (
                "MISCONF Errors writing to the AOF file",
                DatabaseProblem::ReadOnly,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                DatabaseProblem::StorageFull,
            ),
            (
                "NOPERM this user has no permissions",
                DatabaseProblem::NotPermitted,
            ),
            ("ERR max number of clients reached", DatabaseProblem::Other),
        ];
        for (text, problem) in rows {
            let trouble = refused(text);
            assert_eq!(trouble.problem, problem, "{text}");
            assert_eq!(trouble.server_code.as_deref(), text.split(' ').next());
        }
    }

    /// What comes of a login at a server that says this to whoever connects.
    async fn at_server_that_says(words: &'static [u8]) -> Result<Vec<String>, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the other side has read it.
            drop(stream.read_to_end(&mut Vec::new()).await);
        });
        let login = Login {
            address,
            host: "cache",
            encryption: Encryption::None,
            user: "default",
            password: "hunter2",
            database: "",
        };
        Session::open(&login)
            .await?
            .answered(&["CONFIG", "GET", "databases"])
            .await
    }

    #[tokio::test]
    async fn answers_are_read() {
        let answer = at_server_that_says(b"+OK\r\n*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n").await;
        assert_eq!(answer.unwrap(), ["databases", "16"]);
    }

    #[tokio::test]
    async fn who_does_not_speak_the_protocol_is_told_from_who_closes() {
        let web = at_server_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap_err();
        assert!(web.message.contains("not one of a Redis server"), "{web:?}");
        let closed = at_server_that_says(b"").await.unwrap_err();
        assert!(closed.message.contains("closed"), "{closed:?}");
        let tls = at_server_that_says(&[TLS_ALERT, 3, 3, 0, 2, 2, 40])
            .await
            .unwrap_err();
        assert_eq!(tls.problem, DatabaseProblem::TlsRequired);
    }

    #[tokio::test]
    async fn a_refused_password_is_not_repeated() {
        let words = b"-ERR unknown command `AUTH`, with args beginning with: `hunter2`, \r\n";
        let refused = at_server_that_says(words).await.unwrap_err();
        assert_eq!(refused.server_code.as_deref(), Some("ERR"));
        assert!(!refused.message.contains("hunter2"), "{refused:?}");
    }
}

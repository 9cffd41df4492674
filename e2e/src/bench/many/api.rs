//! One connection to the API, kept open: what is measured is the answer, not the way to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Platform;

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Api {
    connection: BufReader<TcpStream>,
    token: String,
}

impl Api {
    pub(super) fn connect(platform: &Platform) -> Self {
        let connection = TcpStream::connect(platform.api()).expect("the server listens");
        connection.set_nodelay(true).expect("a socket");
        connection
            .set_read_timeout(Some(ANSWERS_WITHIN))
            .expect("a socket");
        let token = fs::read_to_string(platform.token_file()).expect("the first token is kept");
        Self {
            connection: BufReader::new(connection),
            token: token.trim().to_owned(),
        }
    }

    /// How long the answer took, which has to be a good one.
    pub(super) fn ask(&mut self, path: &str) -> Duration {
        let began = Instant::now();
        drop(self.get(path));
        began.elapsed()
    }

    /// How many there are of what a list has.
    pub(super) fn total(&mut self, path: &str) -> u64 {
        let answer: Value = serde_json::from_slice(&self.get(path)).expect("the API answers in JSON");
        answer["meta"]["total"]
            .as_u64()
            .expect("a list says how many there are")
    }

    fn get(&mut self, path: &str) -> Vec<u8> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        self.connection
            .get_mut()
            .write_all(request.as_bytes())
            .expect("the server listens");
        let status = self.line();
        assert!(status.contains(" 200 "), "{path}: {status}");
        let mut length = 0;
        loop {
            let header = self.line().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length is a number");
            }
        }
        let mut body = vec![0; length];
        self.connection
            .read_exact(&mut body)
            .expect("the answer is whole");
        body
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.connection.read_line(&mut line).expect("the server answers");
        line.trim_end().to_owned()
    }
}

//! Bytes over a socket, for what no well-behaved client would send, and for seeing exactly what comes.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than anything here takes; a test that hangs fails by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the router listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the router reads");
    }

    pub(crate) fn get(&mut self, host: &str, path: &str) -> Answer {
        self.ask("GET", host, path, &[])
    }

    pub(crate) fn ask(&mut self, method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(method, host, path, headers);
        self.answer_to(method)
    }

    pub(crate) fn request(&mut self, method: &str, host: &str, path: &str, headers: &[(&str, &str)]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        self.send((text + "\r\n").as_bytes());
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head();
        let status = head[9..12].parse().expect("a status line");
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            return answer;
        }
        answer.body = match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().expect("a length")),
            None if answer.header("transfer-encoding").is_some() => self.chunks(),
            None => self.rest(),
        };
        answer
    }

    /// The status line and the headers.
    pub(crate) fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.fill().expect("an answer in time") > 0,
                "the connection ended before an answer"
            );
        };
        String::from_utf8_lossy(&self.exactly(end)).into_owned()
    }

    /// The next chunk of a chunked body; empty at the end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let line = self.line();
        let length =
            usize::from_str_radix(line.trim().split(';').next().unwrap(), 16).expect("a chunk's length");
        let chunk = self.exactly(length);
        self.line();
        chunk
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                return all;
            }
            all.extend(chunk);
        }
    }

    fn line(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                break at + 1;
            }
            assert!(
                self.fill().expect("a line in time") > 0,
                "the connection ended within a body"
            );
        };
        String::from_utf8_lossy(&self.exactly(end)).into_owned()
    }

    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(
                self.fill().expect("bytes in time") > 0,
                "the connection ended after {} bytes",
                self.buffer.len()
            );
        }
        self.buffer.drain(..length).collect()
    }

    /// Everything until the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok_and(|length| length > 0) {}
        std::mem::take(&mut self.buffer)
    }

    /// True once the other side has closed the connection; bytes that still come are an error.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.fill() {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let length = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..length]);
        Ok(length)
    }
}

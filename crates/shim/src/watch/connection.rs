//! One client of the socket: lines in, lines or frames out, never waiting for it.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use mainstay_shim::protocol::{InstanceState, LINE_BYTES_MAX, Reply, Request};
use rustix::event::PollFlags;

use crate::runtime::Runtime;

use super::exec::{Exec, ExecPart};

/// A client that does not read gets no more output of its exec until it does.
const OUTBOX_BYTES: usize = 256 * 1024;

/// At the end, a client that waits is given this long to take the record.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(2);

/// What a client wants.
#[derive(Debug)]
pub(super) enum Demand {
    Request(Request),
    Nonsense,
}

/// What the connection is for.
#[derive(Debug)]
enum Role {
    Asking,
    Waiting,
    Exec(Box<Exec>),
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    role: Role,
    /// Nothing more is said after what is in the outbox.
    closing: bool,
    /// The client is gone.
    broken: bool,
}

/// A reply as it goes over the wire.
pub(crate) fn line(reply: &Reply) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(reply).expect("replies have string keys and no failing parts");
    bytes.push(b'\n');
    bytes
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            role: Role::Asking,
            closing: false,
            broken: false,
        })
    }

    /// Who started the instance is told that it runs, and waits from then on: it may be over before anybody could ask for its end.
    pub(super) fn of_starter(stream: UnixStream, state: &InstanceState) -> io::Result<Self> {
        let mut connection = Self::new(stream)?;
        connection.say(&Reply::Started(state.clone()));
        connection.wait_for_end();
        Ok(connection)
    }

    /// `None` once the client is gone: its hang-up would be ready for ever.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.broken {
            return None;
        }
        let mut flags = PollFlags::empty();
        let takes_more = match &self.role {
            Role::Exec(exec) => exec.takes_input(),
            _ => true,
        };
        flags.set(PollFlags::IN, takes_more);
        flags.set(PollFlags::OUT, !self.outbox.is_empty());
        Some((self.stream.as_fd(), flags))
    }

    pub(super) fn exec_interest(&self) -> Vec<(ExecPart, BorrowedFd<'_>, PollFlags)> {
        match &self.role {
            Role::Exec(exec) => exec.interest(self.outbox.len() < OUTBOX_BYTES),
            _ => Vec::new(),
        }
    }

    pub(super) fn next_moment(&self) -> Option<Instant> {
        match &self.role {
            Role::Exec(exec) => exec.next_moment(),
            _ => None,
        }
    }

    /// Reads and writes what the socket is ready for; what the client now wants.
    pub(super) fn exchange(&mut self, flags: PollFlags) -> Vec<Demand> {
        if flags.contains(PollFlags::OUT) {
            self.flush();
        }
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.receive();
        }
        if let Role::Exec(exec) = &mut self.role {
            if !exec.take_frames(&mut self.inbox) {
                self.broken = true;
            }
            return Vec::new();
        }
        self.take_lines()
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        self.outbox.extend(line(reply));
        self.flush();
    }

    pub(super) fn fail(&mut self, message: &str) {
        self.say(&Reply::Failed {
            message: message.to_owned(),
        });
        self.closing = true;
    }

    pub(super) fn wait_for_end(&mut self) {
        self.role = Role::Waiting;
    }

    pub(super) fn begin_exec(&mut self, exec: Exec) {
        self.say(&Reply::Accepted);
        self.role = Role::Exec(Box::new(exec));
        if let Role::Exec(exec) = &mut self.role
            && !exec.take_frames(&mut self.inbox)
        {
            self.broken = true;
        }
    }

    pub(super) fn serve_exec(&mut self, part: ExecPart) {
        if let Role::Exec(exec) = &mut self.role {
            exec.serve(part, &mut self.outbox);
        }
        self.flush();
    }

    pub(super) fn runtime_ended(&mut self, pid: i32, status: i32, runtime: &Runtime) {
        if let Role::Exec(exec) = &mut self.role {
            exec.runtime_ended(pid, status, runtime, &mut self.outbox);
        }
    }

    pub(super) fn process_ended(&mut self, pid: i32, status: i32) {
        if let Role::Exec(exec) = &mut self.role {
            exec.process_ended(pid, status, &mut self.outbox);
        }
    }

    pub(super) fn act_on_time(&mut self, now: Instant) {
        if let Role::Exec(exec) = &mut self.role {
            if self.broken {
                exec.hang_up(now);
            }
            exec.act_on_time(now);
            if exec.is_over() {
                self.closing = true;
            }
        }
        self.flush();
    }

    /// False when the connection has served its purpose. A client that left its exec is kept until the process is gone too.
    pub(super) fn settle(&mut self) -> bool {
        if let Role::Exec(exec) = &self.role
            && !exec.is_over()
        {
            return true;
        }
        !(self.broken || (self.closing && self.outbox.is_empty()))
    }

    /// The last thing that is ever said.
    pub(super) fn tell_end(&mut self, end: &Reply) {
        match &mut self.role {
            Role::Waiting => self.outbox.extend(line(end)),
            Role::Exec(exec) => exec.instance_ended(&mut self.outbox),
            Role::Asking => return,
        }
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(LAST_WORDS_DEADLINE));
        let _ = self.stream.write_all(&self.outbox);
    }

    fn receive(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.broken = true,
            Ok(count) => self.inbox.extend_from_slice(&buffer[..count]),
            Err(error) if would_wait(&error) => {}
            Err(_) => self.broken = true,
        }
        if self.inbox.len() > LINE_BYTES_MAX {
            self.broken = true;
        }
    }

    fn take_lines(&mut self) -> Vec<Demand> {
        let mut demands = Vec::new();
        while let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
            let rest = self.inbox.split_off(end + 1);
            let line = std::mem::replace(&mut self.inbox, rest);
            let demand = serde_json::from_slice(&line).map_or(Demand::Nonsense, Demand::Request);
            let changes_role = matches!(demand, Demand::Request(Request::Exec(_)) | Demand::Nonsense);
            demands.push(demand);
            if changes_role {
                break;
            }
        }
        demands
    }

    fn flush(&mut self) {
        while !self.outbox.is_empty() && !self.broken {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if would_wait(&error) => return,
                Err(_) => self.broken = true,
            }
        }
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use jiff::Timestamp;
    use mainstay_shim::process::ProcessIdentity;

    use super::*;

    #[test]
    fn who_started_it_is_told_its_end_without_asking() {
        let (own, other) = UnixStream::pair().unwrap();
        let process = ProcessIdentity {
            pid: 1,
            start_time: 1,
        };
        let state = InstanceState {
            shim: process,
            init: process,
            main_pid: None,
            started_at: Timestamp::UNIX_EPOCH,
            address: None,
        };
        let mut connection = Connection::of_starter(own, &state).unwrap();
        // Stands for the record.
        connection.tell_end(&Reply::Accepted);
        drop(connection);
        let lines: Vec<String> = BufReader::new(other).lines().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("started") && lines[1].contains("accepted"),
            "{lines:?}"
        );
    }
}

//! The watch over a running instance: one poll loop, until init has ended and its record is written.
//!
//! `watch` holds all branching on what is ready; what a source means is in its own file: `streams` (the app's output), `memory` (kills
//! by the kernel), `stopping`, `connection` (clients), `exec` (their processes), `record` (the end).

mod cleanup;
mod connection;
mod course;
mod exec;
mod memory;
mod names;
mod record;
mod stopping;
mod streams;
mod taps;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::MemoryRecord;
use mainstay_init::{RECORD_BYTES, Report};
use mainstay_shim::{
    cgroup::Cgroup,
    files::LOG_DIRECTORY,
    log::{LogSource, LogWriter},
    protocol::{InstanceState, Reply, Request, StatsReply},
    spec::ShimSpec,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    create::{Created, Places},
    runtime::Runtime,
    start::ServeError,
    system,
};

use self::{
    connection::{Connection, Demand},
    course::CourseWatch,
    exec::ExecPart,
    memory::MemoryWatch,
    stopping::Stopping,
    streams::AppStream,
    taps::Heard,
};

pub(crate) use cleanup::{clean_up, give_back};
pub(crate) use connection::line;
pub(crate) use taps::Taps;

/// A client that opens connections and says nothing is not served without end.
const CONNECTIONS_MAX: usize = 64;

/// Everything about the one instance of this shim.
#[derive(Debug)]
pub(crate) struct Instance {
    spec: ShimSpec,
    places: Places,
    state: InstanceState,
    cgroup: Cgroup,
    runtime: Runtime,
    streams: [AppStream; 2],
    report: OwnedFd,
    log: LogWriter,
    listener: UnixListener,
    signals: OwnedFd,
    memory: MemoryWatch,
    taps: Taps,
    course: CourseWatch,
    stopping: Stopping,
    connections: Vec<Connection>,
    /// Raw wait status of the app, from init.
    main_status: Option<i32>,
    /// Raw wait status of init itself, which ends the watch.
    init_status: Option<i32>,
    /// Numbers the directories of execs.
    execs: u64,
    /// Locks, freed with it.
    _held: Vec<File>,
}

/// What can become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Listener,
    Stream(usize),
    Report,
    Memory,
    Tap,
    Connection(usize),
    Exec(usize, ExecPart),
}

impl Instance {
    pub(crate) fn new(
        spec: ShimSpec,
        places: Places,
        created: Created,
        state: InstanceState,
        listener: UnixListener,
    ) -> Result<Self, ServeError> {
        let log = LogWriter::open(&spec.data_dir.join(LOG_DIRECTORY), spec.log).map_err(ServeError::Log)?;
        let signals = system::take_signals(&[libc::SIGCHLD]).map_err(ServeError::Signals)?;
        listener.set_nonblocking(true).map_err(ServeError::Watch)?;
        set_nonblocking(&created.report).map_err(ServeError::Watch)?;
        let mut course = CourseWatch::new(Instant::now());
        // An app may be over before anything is waited for.
        course.look(Instant::now(), &created.cgroup, state.init.pid);
        Ok(Self {
            memory: MemoryWatch::open(&created.cgroup),
            streams: [
                AppStream::new(LogSource::Stdout, created.stdout).map_err(ServeError::Watch)?,
                AppStream::new(LogSource::Stderr, created.stderr).map_err(ServeError::Watch)?,
            ],
            taps: created.taps,
            course,
            report: created.report,
            cgroup: created.cgroup,
            runtime: created.runtime,
            spec,
            places,
            state,
            log,
            listener,
            signals,
            stopping: Stopping::default(),
            connections: Vec::new(),
            main_status: None,
            init_status: None,
            execs: 0,
            _held: created.held,
        })
    }
}

/// Serves until the instance has ended and nothing of it is left but its log and record.
pub(crate) fn watch(mut instance: Instance, server: UnixStream) -> io::Result<()> {
    instance
        .connections
        .push(Connection::of_starter(server, &instance.state)?);
    // Whatever ended before the signals were watched announced itself to nobody.
    instance.reap();
    while instance.init_status.is_none() {
        let ready = instance.wait_ready()?;
        for (source, flags) in ready {
            instance.serve(source, flags);
        }
        instance.act_on_time(Instant::now());
        // Errors of the log are counted in the log itself.
        let _ = instance.log.flush();
        instance.connections.retain_mut(Connection::settle);
    }
    instance.end();
    Ok(())
}

impl Instance {
    fn wait_ready(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let watched = self.watched();
        let mut descriptors: Vec<PollFd<'_>> = watched
            .iter()
            .map(|(_, descriptor, flags)| PollFd::from_borrowed_fd(*descriptor, *flags))
            .collect();
        let timeout = self
            .next_moment()
            .map(|moment| moment.saturating_duration_since(Instant::now()))
            .map(|left| Timespec::try_from(left).unwrap_or_default());
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = watched.iter().zip(&descriptors);
        Ok(ready
            .map(|((source, _, _), descriptor)| (*source, descriptor.revents()))
            .filter(|(_, flags)| !flags.is_empty())
            .collect())
    }

    fn watched(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut watched = vec![
            (Source::Signals, self.signals.as_fd(), PollFlags::IN),
            (Source::Report, self.report.as_fd(), PollFlags::IN),
        ];
        if self.main_status.is_some() {
            // Init has closed its end or is about to; a hung-up pipe would keep the loop spinning.
            watched.pop();
        }
        if self.connections.len() < CONNECTIONS_MAX {
            watched.push((Source::Listener, self.listener.as_fd(), PollFlags::IN));
        }
        for (number, stream) in self.streams.iter().enumerate() {
            if let Some(descriptor) = stream.descriptor() {
                watched.push((Source::Stream(number), descriptor, PollFlags::IN));
            }
        }
        if let Some((descriptor, flags)) = self.memory.descriptor() {
            watched.push((Source::Memory, descriptor, flags));
        }
        watched.extend(
            self.taps
                .descriptors()
                .map(|descriptor| (Source::Tap, descriptor, PollFlags::IN)),
        );
        for (number, connection) in self.connections.iter().enumerate() {
            if let Some((descriptor, flags)) = connection.interest() {
                watched.push((Source::Connection(number), descriptor, flags));
            }
            for (part, descriptor, flags) in connection.exec_interest() {
                watched.push((Source::Exec(number, part), descriptor, flags));
            }
        }
        watched
    }

    fn serve(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Signals => {
                drain(&self.signals);
                self.reap();
            }
            Source::Listener => self.accept(),
            Source::Stream(number) => self.streams[number].read_into(&mut self.log),
            Source::Report => self.read_report(),
            Source::Memory => self.memory.notified(Instant::now()),
            Source::Tap => self.read_taps(),
            Source::Connection(number) => self.serve_connection(number, flags),
            Source::Exec(number, part) => self.connections[number].serve_exec(part),
        }
    }

    /// The next moment at which something must be done although nothing is ready.
    fn next_moment(&self) -> Option<Instant> {
        let execs = self.connections.iter().filter_map(Connection::next_moment);
        let own = [
            self.stopping.next_moment(),
            self.memory.next_moment(),
            Some(self.course.next_moment()),
        ];
        own.into_iter().flatten().chain(execs).min()
    }

    fn act_on_time(&mut self, now: Instant) {
        self.stopping.act(now, &self.cgroup, self.main_status.is_some());
        let kills = self.memory.look(now, &self.cgroup, self.state.main_pid);
        memory::tell(&kills, &mut self.log);
        self.course.look(now, &self.cgroup, self.state.init.pid);
        for connection in &mut self.connections {
            connection.act_on_time(now);
        }
    }

    fn read_taps(&mut self) {
        let at = Timestamp::now();
        for heard in self.taps.read() {
            match heard {
                Heard::Refusal(refusal) => self.course.note_failure(at, refusal),
                Heard::UnknownName(name) => self.course.note_unknown_name(at, name),
            }
        }
    }

    fn accept(&mut self) {
        if let Ok((stream, _)) = self.listener.accept()
            && let Ok(connection) = Connection::new(stream)
        {
            self.connections.push(connection);
        }
    }

    fn serve_connection(&mut self, number: usize, flags: PollFlags) {
        let demands = self.connections[number].exchange(flags);
        for demand in demands {
            match demand {
                Demand::Request(request) => self.answer(number, request),
                Demand::Nonsense => self.connections[number].fail("the message is no request"),
            }
        }
    }

    fn answer(&mut self, number: usize, request: Request) {
        match request {
            Request::Status => {
                let reply = Reply::Started(self.state.clone());
                self.connections[number].say(&reply);
            }
            Request::Wait => self.connections[number].wait_for_end(),
            Request::Stop {
                reason,
                grace_period_ms,
            } => {
                let grace_period = Duration::from_millis(grace_period_ms);
                self.stopping
                    .ask(reason, grace_period, self.state.init.pid, self.spec.stop_signal);
                self.connections[number].say(&Reply::Accepted);
            }
            Request::Stats => {
                let reply = Reply::Stats(self.stats());
                self.connections[number].say(&reply);
            }
            Request::Exec(command) => {
                self.execs += 1;
                let directory = self.places.run_dir.join(format!("exec{}", self.execs));
                match exec::Exec::begin(&command, &self.spec, &self.runtime, directory) {
                    Ok(exec) => self.connections[number].begin_exec(exec),
                    Err(error) => self.connections[number].fail(&crate::chain(&error)),
                }
            }
            Request::Create | Request::Start { .. } => {
                self.connections[number].fail("the instance is started already");
            }
        }
    }

    fn stats(&self) -> StatsReply {
        let usage = self.cgroup.usage();
        StatsReply {
            at: Timestamp::now(),
            memory_bytes: usage.memory_bytes.unwrap_or_default(),
            memory: MemoryRecord {
                limit_bytes: usage.memory_limit_bytes,
                peak_bytes: usage.memory_peak_bytes,
                kills: self.memory.kills().to_vec(),
            },
            cpu_usage_micros: usage.cpu_usage_micros.unwrap_or_default(),
            cpu_throttled_micros: usage.cpu_throttled_micros.unwrap_or_default(),
            pids: u32::try_from(usage.pids.unwrap_or_default()).unwrap_or(u32::MAX),
            course: self.course.course(),
        }
    }

    fn read_report(&mut self) {
        let mut record = [0; RECORD_BYTES];
        while let Ok(RECORD_BYTES) = rustix::io::read(&self.report, &mut record) {
            if let Some(Report::Exited { wait_status }) = Report::from_bytes(record) {
                self.main_status = Some(wait_status);
            }
        }
    }

    /// Collects every ended child: init, the runtime's own processes, processes of execs, and strays that became ours.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        while let Some(child) = system::reap() {
            ended.push(child);
        }
        for (pid, status) in &ended {
            if *pid == self.state.init.pid {
                self.init_status = Some(*status);
            }
            for connection in &mut self.connections {
                connection.runtime_ended(*pid, *status, &self.runtime);
            }
        }
        // A quick process may have ended together with the runtime's that made it, so this looks after all of those were heard.
        for (pid, status) in ended {
            for connection in &mut self.connections {
                connection.process_ended(pid, status);
            }
        }
    }
}

fn set_nonblocking(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    Ok(rustix::fs::fcntl_setfl(
        descriptor,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// Empties a descriptor whose content says no more than its being ready.
fn drain(descriptor: &OwnedFd) {
    let mut buffer = [0; 1024];
    while rustix::io::read(descriptor, &mut buffer).is_ok_and(|count| count > 0) {}
}

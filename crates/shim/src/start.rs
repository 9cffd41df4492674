//! The first conversation: create, start, and only then the watch.
//!
//! The server that asked for the creation must be there until the instance runs. If its connection ends before, everything is
//! taken back: a server that was killed in this moment finds nothing half done.

use std::{
    io,
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mainstay_init::{RECORD_BYTES, Report};
use mainstay_shim::{
    log::LogError,
    process::{self, ProcessIdentity},
    protocol::{InstanceState, LINE_BYTES_MAX, Reply, Request, StartRefusal, StartStage},
    spec::ShimSpec,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    chain,
    create::{self, CreateError, Created, Places},
    runtime::RuntimeError,
    system,
    watch::{self, Instance},
};

/// The server is on this machine and has just started us.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Between creation and start the server sets up the network.
const START_REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// Init reports right after the runtime let it go; a machine under load may need a while.
const REPORT_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("the server did not speak to the shim")]
    Conversation(#[source] io::Error),
    #[error("the server sent what is not expected now: {0}")]
    Unexpected(&'static str),
    #[error("the instance could not be created")]
    Create(#[source] CreateError),
    #[error("the instance could not be started")]
    Start(#[source] RuntimeError),
    #[error("the files of the platform could not be written")]
    PlatformFiles(#[source] io::Error),
    #[error("init did not report")]
    NoReport(#[source] io::Error),
    #[error("init said what nobody expects: {0:?}")]
    StrangeReport(Report),
    #[error("the kernel refused to execute the command")]
    Refused,
    #[error("signals could not be taken")]
    Signals(#[source] io::Error),
    #[error("the log could not be opened")]
    Log(#[source] LogError),
    #[error("the watch failed")]
    Watch(#[source] io::Error),
}

/// Serves the instance from creation to its end.
pub(crate) fn serve(spec: &ShimSpec, run_dir: &Path, listener: UnixListener) -> Result<(), ServeError> {
    let places = Places {
        run_dir: run_dir.to_owned(),
    };
    let mut server = Server::accept(&listener)?;
    let outcome = start(spec, &places, &mut server);
    match outcome {
        Ok((created, state)) => {
            let instance = Instance::new(spec.clone(), places, created, state, listener)?;
            system::trim_heap();
            watch::watch(instance, server.stream).map_err(ServeError::Watch)
        }
        Err(error) => {
            // A refusal was told when all was taken back.
            if !matches!(error, ServeError::Refused) {
                take_back(spec, &places);
                let message = chain(&error);
                server.say(&Reply::Failed { message });
            }
            // Closed by the kernel, when there is no process any more: the server waits for that.
            std::mem::forget(server);
            Err(error)
        }
    }
}

fn start(
    spec: &ShimSpec,
    places: &Places,
    server: &mut Server,
) -> Result<(Created, InstanceState), ServeError> {
    if server.listen(FIRST_REQUEST_DEADLINE)? != Request::Create {
        return Err(ServeError::Unexpected("no create"));
    }
    let created = create::create(spec, places).map_err(ServeError::Create)?;
    server.say(&Reply::Created {
        pid: created.init.pid,
    });
    let Request::Start { address, hosts } = server.listen(START_REQUEST_DEADLINE)? else {
        return Err(ServeError::Unexpected("no start"));
    };
    create::write_hosts(places, &hosts).map_err(ServeError::PlatformFiles)?;
    let started_at = Timestamp::now();
    created.runtime.start().map_err(ServeError::Start)?;
    let report = first_report(&created)?;
    let refused = |stage, errno| StartRefusal { stage, errno };
    let refusal = match report {
        Report::Started { pid } => {
            let state = InstanceState {
                shim: this_process(),
                init: created.init,
                main_pid: main_process(created.init.pid, pid),
                started_at,
                address,
            };
            return Ok((created, state));
        }
        Report::WorkingDirectoryFailed { errno } => refused(StartStage::WorkingDirectory, errno),
        Report::ForkFailed { errno } => refused(StartStage::Fork, errno),
        Report::ExecFailed { errno } => refused(StartStage::Exec, errno),
        strange @ Report::Exited { .. } => return Err(ServeError::StrangeReport(strange)),
    };
    // Told after everything is taken back would be later than needed, but then nothing is left when the server acts on it.
    take_back(spec, places);
    server.say(&Reply::Refused(refusal));
    Err(ServeError::Refused)
}

fn take_back(spec: &ShimSpec, places: &Places) {
    for fault in watch::give_back(spec) {
        crate::complain(&fault);
    }
    for fault in watch::clean_up(spec, places) {
        crate::complain(&fault);
    }
}

fn this_process() -> ProcessIdentity {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_time: 0 })
}

/// The app's main process as the host numbers it: the child of init with that number inside. Already gone when it was quick.
fn main_process(init: i32, inner: i32) -> Option<i32> {
    process::children(init)
        .into_iter()
        .find(|child| process::inner_pid(*child) == Some(inner))
}

fn first_report(created: &Created) -> Result<Report, ServeError> {
    let mut record = [0; RECORD_BYTES];
    let mut filled = 0;
    let deadline = Instant::now() + REPORT_DEADLINE;
    while filled < RECORD_BYTES {
        wait_readable(created.report.as_fd(), deadline).map_err(ServeError::NoReport)?;
        let count = rustix::io::read(&created.report, &mut record[filled..])
            .map_err(|error| ServeError::NoReport(error.into()))?;
        if count == 0 {
            return Err(ServeError::NoReport(io::ErrorKind::UnexpectedEof.into()));
        }
        filled += count;
    }
    Report::from_bytes(record)
        .ok_or_else(|| ServeError::NoReport(io::Error::new(io::ErrorKind::InvalidData, "unknown record")))
}

/// The connection of the server that starts the instance.
#[derive(Debug)]
struct Server {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Server {
    fn accept(listener: &UnixListener) -> Result<Self, ServeError> {
        let deadline = Instant::now() + FIRST_REQUEST_DEADLINE;
        wait_readable(listener.as_fd(), deadline).map_err(ServeError::Conversation)?;
        let (stream, _) = listener.accept().map_err(ServeError::Conversation)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    fn listen(&mut self, patience: Duration) -> Result<Request, ServeError> {
        let deadline = Instant::now() + patience;
        while !self.received.contains(&b'\n') {
            wait_readable(self.stream.as_fd(), deadline).map_err(ServeError::Conversation)?;
            let mut buffer = [0; 4096];
            let count = io::Read::read(&mut self.stream, &mut buffer).map_err(ServeError::Conversation)?;
            if count == 0 || self.received.len() > LINE_BYTES_MAX {
                return Err(ServeError::Conversation(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.extend_from_slice(&buffer[..count]);
        }
        let line = std::mem::take(&mut self.received);
        serde_json::from_slice(&line).map_err(|_| ServeError::Unexpected("no request"))
    }

    /// A server that is gone is noticed when it is listened to.
    fn say(&mut self, reply: &Reply) {
        let _ = io::Write::write_all(&mut self.stream, &watch::line(reply));
    }
}

fn wait_readable(descriptor: std::os::fd::BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline
            .checked_duration_since(Instant::now())
            .ok_or(io::ErrorKind::TimedOut)?;
        let timeout = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

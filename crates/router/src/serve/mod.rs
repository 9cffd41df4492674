//! A serving process. It is started by a supervisor, which gives it the listening sockets through its standard input, and outlives
//! it: a serving process that lost its supervisor goes on, answers the control socket by itself, and passes the sockets on to the
//! next supervisor.

use std::{
    io,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    sync::Arc,
    thread::JoinHandle,
};

use tokio::{
    net::UnixStream,
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

pub mod answers;
pub mod connection;
pub mod core;
pub mod loader;
pub mod retire;
pub mod shared;
pub mod thread;
pub mod worker;

use crate::{
    access_log::{AccessLog, Rotation},
    settings::Settings,
    wire,
};
use loader::Loader;
use shared::{Phase, Shared};
use worker::Worker;

/// Serves until it is told to retire and has finished.
pub fn run(settings: Settings) -> io::Result<()> {
    raise_descriptor_limit();
    let socket = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listeners = wire::receive_listeners(socket.as_fd())?;
    let (log, log_thread) = open_log(&settings)?;
    let shared = Arc::new(Shared::new(settings, log));
    let loader = Arc::new(Loader::new(Arc::clone(&shared)));
    loader.refresh();

    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let (ready, mut readiness) = mpsc::channel(shared.cores.len().max(1));
    let mut threads = Vec::new();
    for index in 0..shared.cores.len() {
        let listeners = listeners
            .iter()
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()?;
        threads.push(thread::start(
            Arc::clone(&shared),
            index,
            listeners,
            ready.clone(),
        )?);
    }
    drop(ready);
    std::thread::Builder::new().name("routes".into()).spawn({
        let loader = Arc::clone(&loader);
        move || loader.watch()
    })?;

    runtime.block_on(async {
        for _ in 0..threads.len() {
            readiness
                .recv()
                .await
                .ok_or_else(|| io::Error::other("a serving thread did not start"))?;
        }
        socket.set_nonblocking(true)?;
        let supervisor = UnixStream::from_std(socket)?;
        Worker::new(Arc::clone(&shared), loader, listeners)
            .run(supervisor)
            .await
    })?;
    shared.enter(Phase::Ended);
    end(threads, &shared, log_thread);
    Ok(())
}

fn end(threads: Vec<JoinHandle<io::Result<()>>>, shared: &Shared, log_thread: Option<JoinHandle<()>>) {
    for thread in threads {
        let _ = thread.join();
    }
    if let (Some(log), Some(thread)) = (&shared.log, log_thread) {
        log.close();
        let _ = thread.join();
    }
}

fn open_log(settings: &Settings) -> io::Result<(Option<AccessLog>, Option<JoinHandle<()>>)> {
    let Some(path) = &settings.log else {
        return Ok((None, None));
    };
    let rotation = Rotation {
        path: path.clone(),
        bytes_max: settings.log_bytes_max,
        files_kept: settings.log_files_kept,
    };
    let (log, thread) = AccessLog::open(rotation).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot open the access log {}: {error}", path.display()),
        )
    })?;
    Ok((Some(log), Some(thread)))
}

/// Each request may need two descriptors, and the usual soft limit is 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

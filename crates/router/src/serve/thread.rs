//! A serving thread: one current-thread runtime, sharing the listening sockets with the other threads.

use std::{
    io,
    net::TcpListener as StdListener,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::mpsc,
    task::JoinHandle,
    time::interval,
};

use super::{
    connection,
    core::Core,
    shared::{Phase, Shared},
};

/// How often idle connections to instances are looked at and the log's lines are passed on.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// Starts the thread; `ready` is told once it accepts connections. It ends after [`Phase::Ended`].
pub fn start(
    shared: Arc<Shared>,
    index: usize,
    listeners: Vec<StdListener>,
    ready: mpsc::Sender<()>,
) -> io::Result<std::thread::JoinHandle<io::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("serve-{index}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            runtime.block_on(run(Core::new(shared, index), listeners, ready))
        })
}

async fn run(core: Rc<Core>, listeners: Vec<StdListener>, ready: mpsc::Sender<()>) -> io::Result<()> {
    let mut phases = core.shared.phase.subscribe();
    tokio::task::spawn_local(follow_tables(Rc::clone(&core)));
    tokio::task::spawn_local(keep_house(Rc::clone(&core)));
    let mut accepting = Vec::new();
    core.counters()
        .listeners
        .store(listeners.len() as u64, Ordering::SeqCst);
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        accepting.push(tokio::task::spawn_local(connection::accept(
            Rc::clone(&core),
            listener,
        )));
    }
    let _ = ready.send(()).await;
    loop {
        let phase = *phases.borrow_and_update();
        match phase {
            Phase::Serving => {}
            Phase::Announcing => stop_accepting(&core, &mut accepting).await,
            Phase::Closing => {
                stop_accepting(&core, &mut accepting).await;
                core.close_idle();
            }
            Phase::Ended => break,
        }
        if phases.changed().await.is_err() {
            break;
        }
    }
    core.flush_log();
    Ok(())
}

async fn stop_accepting(core: &Core, accepting: &mut Vec<JoinHandle<()>>) {
    for task in accepting.drain(..) {
        task.abort();
        // The listener is closed when the task is gone.
        let _ = task.await;
    }
    core.counters().listeners.store(0, Ordering::SeqCst);
    core.shared.changed.notify_waiters();
}

async fn follow_tables(core: Rc<Core>) {
    let mut tables = core.shared.tables.subscribe();
    loop {
        let table = Arc::clone(&tables.borrow_and_update());
        core.adopt(table);
        if tables.changed().await.is_err() {
            return;
        }
    }
}

async fn keep_house(core: Rc<Core>) {
    let mut ticks = interval(HOUSEKEEPING);
    loop {
        ticks.tick().await;
        core.keep_house();
    }
}

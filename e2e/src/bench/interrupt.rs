//! Being told to end: between two rounds, so that everything is still taken down.

use std::sync::atomic::{AtomicBool, Ordering};

static TOLD: AtomicBool = AtomicBool::new(false);

/// From now on the first `SIGINT` or `SIGTERM` ends the next [`check`]; a second one ends the process at once.
pub(super) fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    std::thread::spawn(move || runtime.block_on(wait()));
}

async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).expect("the signal can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("the signal can be handled");
    for told in 1.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if told > 1 {
            std::process::abort();
        }
        eprintln!("› ending after this round; once more to end at once, leaving things behind");
        TOLD.store(true, Ordering::Relaxed);
    }
}

pub(super) fn is_told() -> bool {
    TOLD.load(Ordering::Relaxed)
}

/// Ends the benchmark if somebody said so: by a panic, which takes down what was set up.
pub(super) fn check() {
    assert!(!is_told(), "interrupted");
}

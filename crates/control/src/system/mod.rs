//! The whole control plane in one process: the real actor, effects, replicas, switch and store (on a SQLite file), around a scripted engine, a
//! scripted builder and a stand-in for the router.
//!
//! ```text
//!  World ── outlives the server ──────────────────────────┐     Life ── one server, on a runtime of its own
//!    Machine (instances, networks)  Builder  Router  disk │◀──── Application · actors · Store
//!         └── Calls: each call may fail, or be the last    │          └── Commits: each commit may be refused, or be the last
//!  ────────────────────────────────────────────────────────┘
//! ```
//!
//! `kill -9` is the end of the runtime: every task of the server vanishes wherever it is, and what it had asked of the world outside stays.
//! After whatever happened, [`World::settle`] waits until nothing is wrong any more, or says what is ([`invariants`]).
//!
//! By default each test takes a share of its accidents and histories; with `MAINSTAY_SYSTEM_LONG` set it takes all, and minutes.

mod alerts;
mod builder;
mod calls;
mod commits;
mod ending;
mod engine;
mod faults;
mod invariants;
mod measured_alerts;
mod operations;
mod restarts;
mod rollbacks;
mod router;
mod schedules;
mod sources;
mod waiting_restarts;
mod world;

pub(crate) use world::{Server, World};

/// Whether every accident is to happen.
fn is_long() -> bool {
    std::env::var_os("MAINSTAY_SYSTEM_LONG").is_some()
}

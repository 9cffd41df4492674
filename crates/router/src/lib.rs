//! The HTTP router: a process of its own that goes on serving while the control plane is down or being upgraded.
//!
//! ```text
//!  control plane ──writes──▶ snapshot file ──watched by──▶ loader ──▶ table ──▶ every serving thread
//!        │                                                                          │
//!        └──asks──▶ control socket ──▶ supervisor ──asks──▶ worker process(es) ─────┘ one thread per core:
//!                                          │                   ▲                        accept → check → route → forward
//!                                          └─ listening sockets┘ (inherited, shared)
//! ```
//!
//! The control plane uses [`snapshot`] (what is routed where), [`control`] and [`client`] (is it in force, is it drained).
//! Everything else is the program.

#![expect(
    clippy::missing_panics_doc,
    reason = "each `expect` here says why it cannot fail"
)]

pub mod access_log;
pub mod client;
pub mod control;
pub mod control_lock;
pub mod control_server;
pub mod end_signals;
pub mod proxy;
pub mod report;
pub mod serve;
pub mod settings;
pub mod snapshot;
pub mod socket;
pub mod static_site;
pub mod supervise;
pub mod table;
pub mod wire;

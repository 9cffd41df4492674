//! The real program against real apps, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::similar_names, reason = "`router` and its `routes` belong together")]

mod app;
mod changes;
mod drain;
mod forwarding;
mod harness;
mod odd_requests;
mod processes;
mod raw;
mod routing;
mod snapshots;
mod static_sites;
mod traffic;
mod tunnels;

//! The local engine on a real machine: root, runc, cgroups. Each test has a world of its own and leaves nothing.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built fails the test")]

mod life;
mod sockets;
mod world;

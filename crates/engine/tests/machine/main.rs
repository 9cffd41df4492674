//! The local engine on a real machine: root, runc, cgroups. Each test has a world of its own and leaves nothing.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built fails the test")]

mod adoption;
mod exec;
mod isolation;
mod life;
mod limits;
mod network;
mod sockets;
mod world;

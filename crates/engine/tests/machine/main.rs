//! The local engine on a real machine: root, runc, cgroups. Each test has a world of its own and leaves nothing.
//!
//! `tests/machine_with_copies` runs all of them too, where the kernel's mapping of file owners is not used.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built fails the test")]

mod adoption;
mod exec;
mod isolation;
mod layers;
mod life;
mod limits;
mod network;
mod sockets;
mod world;

/// Where the kernel maps, which it does on every machine that the tests are for.
const LAYER_OWNER: mainstay_engine::local::LayerOwner = mainstay_engine::local::LayerOwner::Auto;

//! All tests of `tests/machine`, with layers that are copied for each app as on kernels that do not map file owners.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built fails the test")]

#[path = "../machine/adoption.rs"]
mod adoption;
#[path = "../machine/exec.rs"]
mod exec;
#[path = "../machine/isolation.rs"]
mod isolation;
#[path = "../machine/layers.rs"]
mod layers;
#[path = "../machine/life.rs"]
mod life;
#[path = "../machine/limits.rs"]
mod limits;
#[path = "../machine/network.rs"]
mod network;
#[path = "../machine/sockets.rs"]
mod sockets;
#[path = "../machine/world.rs"]
mod world;

const LAYER_OWNER: mainstay_engine::local::LayerOwner = mainstay_engine::local::LayerOwner::Copy;

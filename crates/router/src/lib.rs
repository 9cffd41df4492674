//! The router's contract with the control plane: the routes snapshot and the control socket.

pub mod control;
pub mod snapshot;

//! The engine of this machine.

pub mod network;

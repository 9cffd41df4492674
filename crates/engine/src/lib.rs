//! Instances: the [`Engine`] trait, and `local`, which runs them on this machine (shim, runc, cgroups, networks).

pub mod api;
pub mod local;

pub use api::*;

//! Source → image: fetch, detect, plan, run the steps, keep what did not change.

mod apart;
pub mod api;
mod assemble;
mod builder;
pub mod buildpacks;
mod digest;
pub mod dockerfile;
mod execute;
pub mod findings;
mod index;
mod keys;
mod manifests;
pub mod plan;
pub mod source;
mod toolchain;
mod transcript;
pub mod upload;

pub use api::*;
pub use builder::{BuilderConfig, BuilderError, LocalBuilder};

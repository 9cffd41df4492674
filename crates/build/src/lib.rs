//! Source → image: fetch, detect, plan, run the steps, keep what did not change.

pub mod api;
pub mod buildpacks;
mod digest;
mod manifests;
pub mod plan;
pub mod source;

pub use api::*;

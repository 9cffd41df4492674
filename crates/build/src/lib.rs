//! Source → image: fetch, detect, plan, run the steps, keep what did not change.

pub mod api;
pub mod buildpacks;
mod digest;
pub mod dockerfile;
pub mod findings;
mod manifests;
pub mod plan;
pub mod source;
pub mod upload;

pub use api::*;

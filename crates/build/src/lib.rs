//! Source → image: fetch, detect, plan, run the steps, keep what did not change.

pub mod api;
mod digest;
pub mod source;

pub use api::*;

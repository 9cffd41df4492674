//! Dockerfile builds with the real buildah and runc: what succeeds, what fails and how it is told apart, and that nothing is left over.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod failures;
mod limits;
mod success;
mod world;

//! The store on a real file.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod accepting;
mod accounts;
mod alerts;
mod audit;
mod events;
mod instance_events;
mod invocations;
mod keeping;
mod limits;
mod many;
mod samples;
mod traffic;
mod world;

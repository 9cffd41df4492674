//! Builds on the real engine: containers, stack, toolchains and package registries.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic and print"
)]

mod go;
mod html;
mod limits;
mod node;
mod python;
mod world;

/// Ends the test, saying why, where it cannot run.
macro_rules! machine {
    () => {
        if !mainstay_testkit::can_run(&$crate::world::PROGRAMS) {
            return;
        }
    };
}
pub(crate) use machine;

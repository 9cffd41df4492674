//! Networks on a real kernel. Each test has a "host" of its own: a fresh network namespace with its own way to an "internet", which
//! is another namespace. So nothing touches the machine's real network, and tests may run side by side.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

mod isolation;
mod reach;
mod real_machine;
mod services;
mod upkeep;
mod world;

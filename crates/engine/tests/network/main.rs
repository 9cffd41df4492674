//! Networks on a real kernel. Each test has a "host" of its own: a fresh network namespace with its own way to an "internet", which
//! is another namespace. So nothing touches the machine's real network, and tests may run side by side.

mod isolation;
mod world;

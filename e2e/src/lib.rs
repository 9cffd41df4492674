//! End-to-end tests on the real machine: the programs as users run them, spoken to by the command line and by visitors' requests alone.
//!
//! ```text
//!  scenario ──▶ Folder (files + spec) ──▶ `mainstay deploy` ──▶ server ──▶ builds, instances
//!     └──────── Platform::get, visitors ───────────────────▶ router ──▶ the app
//! ```
//!
//! A [`Platform`] is a whole Mainstay beside everything else that runs on the machine: own names, networks, ports and directories. When it
//! is dropped it takes everything down, and fails the test if anything is left.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test's world that cannot be built fails the test"
)]
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

mod api;
pub mod bench;
mod cache;
mod deployment;
pub mod faults;
mod flask;
mod folder;
mod outside;
mod platform;
mod python_clients;
mod registry;
mod run;
mod visit;
mod wait;

pub use deployment::{Deployment, Leaf};
pub use flask::flask_hello;
pub use folder::{Folder, python_hello};
pub use outside::{Make, Nature, OutsideServer, PASSWORD, USER, serve as serve_outside};
pub use platform::{Ballast, Platform, Programs, User};
pub use python_clients::PythonClients;
pub use registry::Registry;
pub use run::{Answer, run};
pub use visit::{Page, Visiting};
pub use wait::wait_until;

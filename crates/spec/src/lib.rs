//! The app spec. Pure: no I/O, no clock.
//!
//! ```text
//!  text ──read──▶ tree (every value knows its place; bounded)
//!                   │ decode: unknown keys, wrong types → errors, all of them
//!                   ▼
//!                AppSpec ──check──▶ broken rules, by path
//!                   │                   │ located by path
//!                   ▼                   ▼
//!              ParsedSpec           SpecErrors (path, line, column, value, rule, suggestion)
//! ```
//!
//! [`parse()`] is the door for every spec from outside. The types stay as their author wrote them and are also what is stored and returned; what
//! a missing field means is answered by methods ([`Service::http_port`], [`Service::readiness`]), by [`ingress::resolve`] for routing and by
//! [`environment`] for variables. [`unsupported`] names what a spec may ask for but this version cannot run.

pub mod database_binding;
mod decode;
pub mod duration;
pub mod environment;
mod error;
pub mod ids;
pub mod ingress;
pub mod kind;
mod model;
mod parse;
mod render;
pub mod schedule;
mod secrets;
pub mod sizes;
mod support;
mod tree;
pub mod usage;
mod validate;

pub use error::{ERRORS_MAX, Problem, SpecError, SpecErrors};
pub use model::*;
pub use parse::{ParsedSpec, Sources, parse, parse_with};
pub use render::{render_errors, render_warnings};
pub use secrets::{Secret, losses};
pub use support::unsupported;
pub use tree::{DEPTH_MAX, Format, TEXT_BYTES_MAX};
pub use validate::{check, check_with};

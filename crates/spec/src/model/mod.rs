//! The app spec's types, one file per subject. Field names are the wire's; zero values are left out on output, so that a stored spec stays as
//! its author wrote it. Defaults are resolved by methods, never filled in.

mod alert;
mod app;
mod component;
mod domain;
mod health_check;
mod job;
mod log_destination;
mod routing;
mod scaling;
mod sensitive;
mod service;
mod source;
mod static_site;
mod variable;
mod worker;

pub use alert::*;
pub use app::*;
pub use component::*;
pub use domain::*;
pub use health_check::*;
pub use job::*;
pub use log_destination::*;
pub use routing::*;
pub use scaling::*;
pub use sensitive::*;
pub use service::*;
pub use source::*;
pub use static_site::*;
pub use variable::*;
pub use worker::*;

/// True for what the wire leaves out.
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

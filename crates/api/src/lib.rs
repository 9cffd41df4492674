//! The wire types of `/v2/apps`: what clients send and get, in the shape that they already know. No implementation.
//!
//! Every type is read and written: the server writes what the CLI reads. Zero values are left out, times are RFC 3339 in UTC, and words that
//! this version does not know read as `UNKNOWN`. Fields that only Mainstay has are additions, never changes, and say so.

mod account;
mod alert;
mod app;
mod app_database;
mod backup;
mod bandwidth;
mod catalogue;
mod cause;
mod component;
mod database;
mod deployment;
mod domain;
mod error;
mod event;
mod exec;
mod health;
mod instance;
mod instance_event;
mod job;
mod limit;
mod logs;
mod metrics;
mod page;
mod progress;
mod propose;
mod reason;
mod region;
mod rollback;
mod size;
mod team;
mod token;
mod wire;

pub use account::*;
pub use alert::*;
pub use app::*;
pub use app_database::*;
pub use backup::*;
pub use bandwidth::*;
pub use catalogue::*;
pub use cause::*;
pub use component::*;
pub use database::*;
pub use deployment::*;
pub use domain::*;
pub use error::*;
pub use event::*;
pub use exec::*;
pub use health::*;
pub use instance::*;
pub use instance_event::*;
pub use job::*;
pub use limit::*;
pub use logs::*;
pub use metrics::*;
pub use page::*;
pub use progress::*;
pub use propose::*;
pub use reason::*;
pub use region::*;
pub use rollback::*;
pub use size::*;
pub use team::*;
pub use token::*;

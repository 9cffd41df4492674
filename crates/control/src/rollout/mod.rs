//! Making deployments live and keeping them so.
//!
//! One [`actor`] per app owns that app's deployments and decides, by `mainstay_deploy::step`, what happens next. Effects run as tasks and
//! report back as events:
//!
//! ```text
//!  API ──command──▶ actor ──effect──▶ initialize · builds · preflight · switch
//!                     ▲   ├─spawns──▶ replica (one per instance slot; starts, probes, restarts)
//!                     │   └─spawns──▶ job run (to its end, once)
//!                     └──── events, reports of replicas and job runs
//! ```
//!
//! A replica lives from the first start of its instance until another deployment replaces it: the same code that waits for the first
//! answer restarts the instance a month later. [`mod@retire`] drains and stops whatever belongs to no deployment that should run.

pub(crate) mod actor;
mod build_queue;
mod builds;
mod clones;
mod effects;
mod evidence;
mod fleet;
mod forget;
pub(crate) mod history;
mod instance_plan;
mod jobs;
mod readiness;
mod replica;
mod retire;
mod room;
mod starts;
mod switch;

pub(crate) use actor::{Actor, Command};
pub(crate) use build_queue::BuildQueue;
pub(crate) use builds::{BuildRow, at_once, builds_of};
pub(crate) use evidence::chain;
pub(crate) use jobs::{JobRefusal, log_name};
pub(crate) use replica::end_of;
pub(crate) use retire::{retire, take_away};

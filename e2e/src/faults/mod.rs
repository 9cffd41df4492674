//! The fault suite: apps that fail, and healthy ones that look as if they did, each with what the platform must say about it.
//!
//! ```text
//!  e2e/faults/<name>/  app/ (files and spec) ──▶ lane: an app that serves, visitors ──▶ `mainstay deploy`
//!                      expect.toml ──────────▶ check ◀── reason, card, logs, instances, what is left
//!                                                └────▶ report: table, confusion matrix, delays
//! ```
//!
//! A fault is added by adding a folder; `e2e/faults/README.md` says how. The tests and `./x faults` run the same suite.

mod check;
#[cfg(test)]
mod coverage;
mod expect;
mod fault;
mod report;
mod suite;
mod told;

pub use self::{
    check::Got,
    expect::{Expect, Oddity},
    fault::{Fault, chosen},
    report::{heading, line, summary, too_slow},
    suite::{Outcome, TIGHT_LIMITS, run},
    told::{Delay, Since},
};

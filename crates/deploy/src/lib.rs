//! The deployment state machine: events in, next state and requested effects out.
//!
//! ```text
//!   caller                                   this crate
//!   ──────                                   ──────────
//!   something happened            ──event──▶ step(state, event)
//!   append the event, commit      ◀──────────  (state, effects)
//!   carry the effects out
//!   each reports back             ──event──▶ step(state, event) …
//!
//!   after a restart: replay       ──events─▶ step … step
//!   carry out again               ◀──────────  resume(state)
//! ```
//!
//! Nothing here reads a clock, a file or a socket. Effects are idempotent, so that `resume` may ask again for what was already done.

mod changes;
mod machine;
mod progress;

pub use changes::changes;
pub use machine::{
    ComponentPlan, Effect, Event, EventKind, Failure, IllegalEvent, Phase, PhaseKind, Recorded, State,
    resume, step,
};
pub use progress::{Leaf, LeafName, LeafStatus, leaves};

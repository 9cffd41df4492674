//! The error reference: what was observed ([`facts`]) goes in, exactly one code with cause, evidence and next steps comes out.
//! Pure: no I/O, no clock.
//!
//! ```text
//!   shim ── exit record ──┐
//!   builder ─ build facts ┤            rules: one file per engine, strongest first
//!   prober ── transcript ─┼─▶ Facts ─▶ time limit, memory, exec, exit, probes ─▶ code
//!   engine ── sockets … ──┘                     │
//!                                       refine: words of the log, weak facts ─▶ finer cause, never another code
//!                                               │
//!                                            Verdict ─▶ Reason { code, cause, message, evidence, next steps }
//! ```

mod catalogue;
mod cause;
mod closed_enum;
mod code;
pub mod document;
mod evidence;
mod evidence_text;
pub mod exit_codes;
mod explain;
pub mod facts;
mod reason;
mod refine;
pub mod render;
mod rules;
mod view;
mod words;

pub use catalogue::{CausePage, CodePage};
pub use cause::Cause;
pub use closed_enum::UnknownName;
pub use code::{Blame, Code, Retry, Severity};
pub use evidence::{
    CpuEvidence, Evidence, ExitEvidence, IncidentEvidence, LogHint, MemoryEvidence, MemoryPoint,
    SocketEvidence, StepTime, TimeLimitEvidence,
};
pub use explain::{Explanation, UnknownTopic, explain};
pub use reason::{NextStep, Reason, Verdict};
pub use rules::{HEALED_AFTER, diagnose};
pub use view::{EvidenceView, ReasonView};

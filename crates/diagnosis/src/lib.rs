//! The error reference: what was observed ([`facts`]) goes in, exactly one code with cause, evidence and next steps comes out.
//! Pure: no I/O, no clock.

mod cause;
mod closed_enum;
mod code;
mod evidence;
pub mod exit_codes;
pub mod facts;
mod reason;

pub use cause::Cause;
pub use closed_enum::UnknownName;
pub use code::{Blame, Code, Retry, Severity};
pub use evidence::{
    CpuEvidence, Evidence, ExitEvidence, IncidentEvidence, LogHint, MemoryEvidence, SocketEvidence, StepTime,
    TimeLimitEvidence,
};
pub use reason::{NextStep, Reason, Verdict};

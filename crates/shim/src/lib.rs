//! The shim's contract with the engine: the socket protocol, the record on disk and the log format.

pub mod log;

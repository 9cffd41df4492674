//! The shim's contract with the engine, and what both use: the spec it is given, the socket protocol, the state and the record on
//! disk, the log format, the cgroup readers.
//!
//! ```text
//!  engine (server process)                         shim (one per instance, outlives the server)
//!  ───────────────────────                         ────────────────────────────────────────────
//!  writes <run>/spec.json, spawns the shim   ───▶  detaches, listens on <run>/shim.sock
//!  Request::Create                           ───▶  mounts the root file system, `runc create`
//!                                            ◀───  Reply::Created { pid }
//!  attaches the network to that process
//!  Request::Start { address, hosts }         ───▶  `runc start`, hears from init on its pipe
//!                                            ◀───  Reply::Started, or Refused, or Failed
//!  Request::{Status, Wait, Stop, Stats, Exec}      on further connections, by this or by a later server
//!                                                  at the end: writes <data>/exit.json, cleans up, ends
//! ```

pub mod cgroup;
pub mod files;
pub mod log;
pub mod owners;
pub mod process;
pub mod protocol;
pub mod socket_table;
pub mod spec;
pub mod volume;

/// Makes the shim only say whether the kernel maps file owners: followed by a scratch directory, the directory in question, and the
/// first id of a block.
pub const PROBE_OPTION: &str = "--probe-file-owners";

/// The shim's exit status when the kernel refuses to.
pub const REFUSED_STATUS: u8 = 3;

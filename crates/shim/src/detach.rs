//! Leaves the server: own session, no terminal, no standard streams, nobody's child.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::process::{Pid, set_child_subreaper, setsid};

use crate::system::{self, Fork};

/// Where messages of a shim that cannot tell anybody else go: panics, faults after the instance's end.
pub(crate) const MESSAGES_FILE: &str = "shim.messages";

/// Less likely to be killed for memory than anything it watches.
const OOM_SCORE_ADJUSTMENT: &str = "-900";

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub(crate) struct DetachError {
    operation: &'static str,
    #[source]
    source: io::Error,
}

/// Returns in a grandchild of the caller; the process that the server started ends with status 0.
pub(crate) fn detach(run_dir: &Path) -> Result<(), DetachError> {
    let failed = |operation| move |source| DetachError { operation, source };
    leave_to_child().map_err(failed("fork"))?;
    setsid()
        .map_err(io::Error::from)
        .map_err(failed("start a session"))?;
    leave_to_child().map_err(failed("fork"))?;
    std::env::set_current_dir("/").map_err(failed("change to /"))?;
    replace_standard_streams(run_dir).map_err(failed("replace the standard streams"))?;
    // Any process id turns it on: the binding passes the number as the flag of prctl(2).
    set_child_subreaper(Some(Pid::INIT))
        .map_err(io::Error::from)
        .map_err(failed("become a subreaper"))?;
    // Needs a capability that containers of a test machine may lack; the score is a precaution, not a promise.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT);
    Ok(())
}

fn leave_to_child() -> io::Result<()> {
    match system::fork()? {
        Fork::Parent { .. } => system::exit_now(0),
        Fork::Child => Ok(()),
    }
}

fn replace_standard_streams(run_dir: &Path) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let messages: File = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(run_dir.join(MESSAGES_FILE))?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&messages)?;
    Ok(())
}

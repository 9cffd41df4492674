//! Causes that are limits, and the platform's own faults.

use super::{CausePage, app, platform};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::NotDetermined => app(
            "Cause not determined",
            "What was observed decides the code, but not why. The evidence shows everything that is known.",
            "None of the finer observations applied.",
            "Read the evidence and the last lines of the log.",
        ),
        Cause::PlatformFault => platform(
            "An operation of the platform failed",
            "Mainstay could not do its own part.",
            "The error of the operation; its chain stands in the platform's log.",
            "Deploy again; if it happens again, look for the incident id in the platform's log.",
        ),
        Cause::ExitStatusLost => platform(
            "The exit status was lost",
            "The process ended, and its supervisor ended before it could note how.",
            "The exit record holds no wait status.",
            "Deploy again; if it happens again, look at the platform's log and the machine's memory.",
        ),
        Cause::ContradictoryFacts => platform(
            "The records contradict each other",
            "What was recorded cannot be true together, and no cause is guessed.",
            "The records of the build or instance.",
            "Deploy again, and report it with the deployment's id.",
        ),
        Cause::BuildTimeLimit => app(
            "The build's time limit passed",
            "The build was busy to the end, but did not get done in time.",
            "The platform's own timer.",
            "Make the slow step faster: use caches, build less, or raise the limit in the platform's settings.",
        ),
        Cause::BuildStalled => app(
            "The build hung",
            "A step printed nothing for a long time before the time limit passed: it waits for input, for a lock or for a host that does not answer.",
            "The platform's own timer, and the age of the step's last output.",
            "Look at the running step; make it non-interactive and give its network calls a time limit.",
        ),
        Cause::JobTimeLimit => app(
            "The job's time limit passed",
            "The job was still running when its time limit passed, and was ended by the platform.",
            "The platform's own timer.",
            "Make the job faster or raise its timeout.",
        ),
        Cause::MemoryLimit => app(
            "The memory limit was reached",
            "The kernel killed the process that needed more memory than its limit allows.",
            "The kernel's counter of memory kills.",
            "Use less memory or give it more.",
        ),
        Cause::ChildKilledForMemory => app(
            "A child process was killed for memory",
            "Not the main process but one of its children was killed; the main process (often a shell) ended with a status of its own, which \
             hides the kill.",
            "The kernel's counter of memory kills, and a main process that ended otherwise.",
            "Use less memory or give it more; the exit code alone would mislead here.",
        ),
        Cause::ProcessLimit => app(
            "The limit of processes was reached",
            "The instance or build may have only so many processes and threads; the kernel refused another one.",
            "The kernel's counter of refused processes.",
            "Start fewer processes or threads, and check for a loop that starts them.",
        ),
        Cause::AccountQuota => app(
            "A quota of the account is reached",
            "The account may not have more of this resource.",
            "The quota against what is in use.",
            "Delete what is not needed, or have the quota raised.",
        ),
        Cause::NodeCapacity => platform(
            "The machine is full",
            "The machine has not enough free memory, disk or addresses for what was asked.",
            "The node's own numbers.",
            "Stop what is not needed, use a smaller size, or give the machine more.",
        ),
        _ => return None,
    })
}

//! One page per code.

use super::CodePage;
use crate::Code;

#[expect(clippy::too_many_lines, reason = "one flat table")]
pub(super) fn page(code: Code) -> CodePage {
    match code {
        Code::InternalError => CodePage {
            title: "Mainstay itself failed",
            meaning: "A fault of the platform: a bug, a lost supervisor process, a store that could not be written, or a deadline of the \
                      platform's own that passed for a reason on its side. The app is not at fault, and what served before goes on serving.",
            decided_by: "An operation of the platform failed, or its facts about an instance were lost.",
            evidence: "An incident id, the operation that failed, how often it was tried. The error chain stands in the platform's log.",
            retried: "Yes, a few times; then it ends here. Deploying again is safe.",
            next_step: "Deploy again. If it happens again, look for the incident id in the platform's log.",
        },
        Code::BuildJobFailed => CodePage {
            title: "The build could not be carried out",
            meaning: "No command of the user's failed: there was something wrong before, between or after the commands. The source could not \
                      be fetched, source_dir does not exist, no builder recognised the source, the Dockerfile is missing or not valid, a base \
                      image could not be pulled, output_dir is missing, the disk budget was used up, or the image could not be stored.",
            decided_by: "The sub-operation that failed, with its own typed error.",
            evidence: "The sub-operation, the paths and references tried, and what each detector looked at and why it said no.",
            retried: "Network faults three times; everything else not at all.",
            next_step: "Read the cause; it names the path, reference or setting to change.",
        },
        Code::BuildJobExitNonZero => CodePage {
            title: "A build step failed",
            meaning: "A step of the user's (a buildpack's step, the build command, or a RUN instruction) ended with another status than 0.",
            decided_by: "The step's wait status, with no memory kill while it ran and no time limit passed.",
            evidence: "The step's text, its exit code or signal and what that means, the builder and why it was chosen, tool versions, and \
                       what the tools themselves reported.",
            retried: "No.",
            next_step: "Run the same command locally on a fresh checkout; it fails there as well in most cases.",
        },
        Code::BuildJobTimeout => CodePage {
            title: "The build took too long",
            meaning: "The build was still running when its time limit passed (60 minutes unless configured otherwise; waiting in the queue is \
                      not counted).",
            decided_by: "The platform's own timer fired first.",
            evidence: "The limit, the time of each step, the step that was running, and how long it had been silent.",
            retried: "No.",
            next_step: "Look at the step that was running: a long silence means that it hangs, for example waiting for input.",
        },
        Code::BuildJobOutOfMemory => CodePage {
            title: "The build ran out of memory",
            meaning: "The kernel killed a process of the build because the build's memory limit was reached, and the step failed of it.",
            decided_by: "The kernel's own counter of memory kills moved while the failing step ran. A kill that a step survived is a warning.",
            evidence: "Limit and peak, which process was killed, and whether the step's shell hid it behind another exit code.",
            retried: "No.",
            next_step: "Lower the parallelism of the step, or raise the build's memory limit.",
        },
        Code::PreviousBuildReused => CodePage {
            title: "Nothing changed, so nothing was built",
            meaning: "Everything that goes into the build is the same as before, so the earlier image is used again. No failure.",
            decided_by: "The build key is unchanged.",
            evidence: "Commit, deployment and time of the reused build, and what the key is made of.",
            retried: "Nothing to retry.",
            next_step: "To build all the same, deploy with force_build. To deploy new code, check that the commit shown is the one you mean.",
        },
        Code::BuildRateLimit => CodePage {
            title: "The build waits for its turn",
            meaning: "As many builds as allowed are running already. No failure: the build starts by itself, in order.",
            decided_by: "The limit of concurrent builds, or of build starts, is exhausted.",
            evidence: "The limit, the running builds, the position in the queue, and since when it waits.",
            retried: "Yes, always, by itself.",
            next_step: "Nothing to do.",
        },
        Code::DatabaseNotAvailable => CodePage {
            title: "The database does not answer",
            meaning: "A database that the platform knows exists, but no session could be had with the component's credentials.",
            decided_by: "The platform's own probe: refused, name not resolved, TLS, timeout, starting, read-only, disk full, or login refused.",
            evidence: "Host, port, engine, the layer that failed (DNS, TCP, TLS, login, query), the server's own error code, and the attempts.",
            retried: "Yes, until the deploy's deadline.",
            next_step: "Look at the failing layer; it says whether the address, the certificate, the login or the server is at fault.",
        },
        Code::DatabaseNotFound => CodePage {
            title: "The database does not exist",
            meaning: "The spec refers to a database, cluster, database name or user that does not exist.",
            decided_by: "The reference does not resolve, or the server says that the database is unknown.",
            evidence: "The reference and where it stands in the spec, the names that do exist, and the closest match.",
            retried: "No.",
            next_step: "Correct the name, or add the database to the spec.",
        },
        Code::DatabaseLimitExceeded => CodePage {
            title: "A limit of the database is reached",
            meaning: "The account may have no more databases, or the server has no more connections, space or users to give.",
            decided_by: "A quota, or the server's own counters as the platform's probe saw them.",
            evidence: "Which limit, how much is in use, how much was asked for, and which component uses it.",
            retried: "For connections until the deploy's deadline; otherwise no.",
            next_step: "Lower the pool sizes (old and new instances hold connections at once during a deploy), or use a larger database.",
        },
        Code::ContainerCommandNotExecutable => CodePage {
            title: "The command cannot be executed",
            meaning: "There is no command to start, or the kernel, the loader or the command's shell could not execute it: not found, no execute \
                      permission, a missing interpreter or library, Windows line endings in `#!`, or the wrong architecture.",
            decided_by: "The check before the start, the errno of exec, or exit code 126 or 127 before the instance was ever ready.",
            evidence: "The command as executed, the path it resolved to, the errno, the PATH, close matches in the image, and the architecture.",
            retried: "No; most of these are refused before anything of the running version is touched.",
            next_step: "Correct run_command, or add the missing program to what the build installs.",
        },
        Code::ContainerExitNonZero => CodePage {
            title: "The process ended",
            meaning: "The process ended although it should have kept running (for a service or worker any end, exit code 0 included; for a job \
                      an end with another code than 0).",
            decided_by: "The raw wait status of the main process, with no memory kill and no exec failure.",
            evidence: "Exit code or signal with its meaning, uptime, restarts, the command, names of the variables set, and the connects that \
                       failed.",
            retried: "Services and workers are restarted with back-off until the deadline; sooner ended if they end the same way three times. \
                      Jobs are not repeated.",
            next_step: "Read the last lines of the log; they are the app's own words about why it ended.",
        },
        Code::ContainerHealthChecksFailed => CodePage {
            title: "The health check failed",
            meaning: "The process is alive, but no probe succeeded in time.",
            decided_by: "The probe's transcript, while the process was running. An instance that ended is never reported as a health check.",
            evidence: "The probe's definition and each attempt (time, status, headers, start of the body, or the connect error), the listening \
                       sockets, CPU use, and the connects that failed.",
            retried: "Probing goes on until failure_threshold; the cause is shown as soon as it can be seen.",
            next_step: "Compare what listens with what the probe asks: address, port and path.",
        },
        Code::ContainerOutOfMemory => CodePage {
            title: "The instance ran out of memory",
            meaning: "The kernel killed a process of the instance because the memory limit of its size was reached, and the instance ended of it.",
            decided_by: "The kernel's own counter of memory kills moved, and the main process was the victim or the instance ended within 10 s.",
            evidence: "Limit and peak, instance size, which process was killed, and how the main process ended.",
            retried: "Services and workers are restarted with back-off; ends as for ContainerExitNonZero.",
            next_step: "Use a larger instance size, or fewer workers.",
        },
        Code::ResourceExhausted => CodePage {
            title: "A quota or the machine is full",
            meaning: "What was asked for would pass a quota of the account or the capacity of the machine.",
            decided_by: "The quota row or the node's own numbers, before anything was created.",
            evidence: "The resource, its limit, how much is used and how much was asked for, and the biggest users.",
            retried: "Capacity of the machine until the deadline; quotas of the account not at all.",
            next_step: "Free what is not needed, or raise the limit.",
        },
    }
}

//! What the end of `buildah build` means.

use std::os::unix::process::ExitStatusExt;

use jiff::Timestamp;
use mainstay_diagnosis::facts::{BuildFault, Termination};

use super::Build;
use crate::dockerfile::{
    ending::{Ending, classify},
    observer::BuildObserver,
    preflight::Keyword,
    progress::Progress,
    request::DockerfileEnd,
    supervise::{Ended, Stop},
};

impl Build<'_> {
    pub(super) fn stopped(&self, stop: Stop) -> DockerfileEnd {
        match stop {
            Stop::TimeLimit => DockerfileEnd::TimedOut,
            Stop::Canceled => DockerfileEnd::Canceled,
            Stop::Disk(exceeded) => DockerfileEnd::Failed(BuildFault::DiskBudget {
                limit_bytes: self.request.limits.disk_bytes,
                used_bytes: exceeded.used_bytes,
            }),
        }
    }

    /// What an end that we did not cause means.
    pub(super) fn ended(
        &self,
        ended: &Ended,
        observer: &mut BuildObserver<'_>,
        path: &str,
    ) -> Result<(), DockerfileEnd> {
        let now = Timestamp::now();
        let (code, signal) = match ended.status {
            Some(status) => (status.code(), status.signal()),
            None => (None, None),
        };
        let progress = &mut observer.progress;
        let killed_for_memory = progress.current().is_some_and(|step| !step.kills.is_empty())
            || (progress.current().is_none() && !observer.kills_between.is_empty());
        let by_kernel = Termination::Signaled {
            signal: 9,
            core_dumped: false,
        };
        match classify(code, signal, &ended.stderr_tail) {
            Ending::Success => Ok(()),
            Ending::Step(termination) => {
                progress.fail_current(termination, now);
                Err(DockerfileEnd::StepFailed)
            }
            // The kernel may also choose the runtime or buildah itself: the step failed of it all the same.
            Ending::StepNotStarted { .. } | Ending::Engine { .. } | Ending::Killed { .. }
                if killed_for_memory =>
            {
                progress.fail_current(by_kernel, now);
                Err(DockerfileEnd::StepFailed)
            }
            Ending::StepNotStarted { message } | Ending::Engine { message } => {
                Err(self.instruction_fault(progress, path, message))
            }
            Ending::Killed { signal } => Err(DockerfileEnd::Failed(BuildFault::Platform {
                operation: "running the image builder".to_owned(),
                error_chain: vec![format!("buildah was killed by signal {signal}")],
            })),
        }
    }

    fn instruction_fault(&self, progress: &Progress<'_>, path: &str, message: String) -> DockerfileEnd {
        if message.contains("no space left on device") || message.contains("disk quota exceeded") {
            return DockerfileEnd::Failed(BuildFault::DiskBudget {
                limit_bytes: self.request.limits.disk_bytes,
                used_bytes: self.request.limits.disk_bytes,
            });
        }
        let Some(step) = progress.current() else {
            return DockerfileEnd::Failed(BuildFault::ExportFailed { message });
        };
        let missing = missing_file(&message).map(|path| match step.instruction.keyword {
            // A program of the image, not a file of the context.
            Keyword::Run => path.to_owned(),
            _ => path.trim_start_matches('/').to_owned(),
        });
        DockerfileEnd::Failed(BuildFault::DockerfileInstruction {
            path: path.to_owned(),
            line: Some(step.instruction.line),
            instruction: step.instruction.text.clone(),
            message,
            missing,
            ignored_by: None,
            clue: None,
        })
    }
}

/// The path in `copier: stat: "/nope": no such file or directory`.
fn missing_file(message: &str) -> Option<&str> {
    let (before, _) = message.split_once(": no such file or directory")?;
    before.rsplit('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_file_is_found_in_the_message() {
        let message =
            "checking on sources under \"/ctx\": copier: stat: \"/nope\": no such file or directory";
        assert_eq!(missing_file(message), Some("/nope"));
        assert_eq!(missing_file("something else"), None);
    }
}

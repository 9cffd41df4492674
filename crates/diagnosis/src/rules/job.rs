//! What a job's failure keeps from happening.

use mainstay_spec::JobKind;

use crate::{
    facts::{InstanceFacts, JobFacts},
    words,
};

/// At most this many components are named; the rest is counted.
const NAMED_MAX: usize = 5;

/// One sentence; nothing waits for a job that runs by the clock or after a failure.
pub(super) fn consequence(instance: &InstanceFacts) -> Option<String> {
    let job = instance.job.as_ref()?;
    match job.kind {
        JobKind::PreDeploy => Some(not_started(job)),
        JobKind::PostDeploy => {
            Some("It runs right after the rollout, which was therefore taken back.".to_owned())
        }
        JobKind::FailedDeploy | JobKind::Scheduled | JobKind::Unspecified => None,
    }
}

fn not_started(job: &JobFacts) -> String {
    match job.blocks.as_slice() {
        [] => "It has to succeed before the rollout, which did not begin.".to_owned(),
        [only] => format!("It has to succeed before the rollout, so `{only}` was not started."),
        several => format!(
            "It has to succeed before the rollout, so {} were not started.",
            words::quoted_list(several, NAMED_MAX)
        ),
    }
}

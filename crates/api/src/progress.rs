//! The progress tree: a deployment's steps.

use jiff::Timestamp;

use crate::{
    Reason,
    wire::{wire_object, wire_words},
};

wire_object! {
    /// The counts are of leaves.
    pub struct Progress {
        pub pending_steps: u32,
        pub running_steps: u32,
        pub success_steps: u32,
        pub error_steps: u32,
        pub total_steps: u32,
        pub steps: Vec<Step>,
        /// The top of the tree, reasons copied up.
        pub summary_steps: Vec<Step>,
    }
}

wire_object! {
    pub struct Step {
        pub name: String,
        pub status: StepStatus,
        pub steps: Vec<Step>,
        pub started_at: Option<Timestamp>,
        pub ended_at: Option<Timestamp>,
        pub reason: Option<Reason>,
        pub component_name: String,
        /// Read together with the component's name: "Building service".
        pub message_base: String,
    }
}

wire_words! {
    pub enum StepStatus {
        Unknown = "UNKNOWN",
        Pending = "PENDING",
        Running = "RUNNING",
        Error = "ERROR",
        Success = "SUCCESS",
    }
}

impl Progress {
    /// Counts the leaves of `steps` and copies the top of the tree, with the first reason below each.
    pub fn of(steps: Vec<Step>) -> Self {
        let mut progress = Self {
            summary_steps: steps.iter().map(Step::summary).collect(),
            ..Self::default()
        };
        for leaf in steps.iter().flat_map(Step::leaves) {
            progress.total_steps += 1;
            match leaf.status {
                StepStatus::Unknown | StepStatus::Pending => progress.pending_steps += 1,
                StepStatus::Running => progress.running_steps += 1,
                StepStatus::Error => progress.error_steps += 1,
                StepStatus::Success => progress.success_steps += 1,
            }
        }
        Self { steps, ..progress }
    }

    /// The first leaf that failed.
    pub fn failed_step(&self) -> Option<&Step> {
        self.steps
            .iter()
            .flat_map(Step::leaves)
            .find(|step| step.status == StepStatus::Error)
    }
}

impl Step {
    /// The steps without steps of their own, in order.
    pub fn leaves(&self) -> Vec<&Self> {
        if self.steps.is_empty() {
            return vec![self];
        }
        self.steps.iter().flat_map(Self::leaves).collect()
    }

    fn summary(&self) -> Self {
        let failed = self
            .leaves()
            .into_iter()
            .find(|leaf| leaf.status == StepStatus::Error);
        let reason = self
            .reason
            .clone()
            .or_else(|| failed.and_then(|leaf| leaf.reason.clone()));
        Self {
            steps: Vec::new(),
            reason,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, status: StepStatus, steps: Vec<Step>) -> Step {
        Step {
            name: name.into(),
            status,
            steps,
            ..Step::default()
        }
    }

    #[test]
    fn leaves_are_counted_and_the_reason_is_copied_to_the_top() {
        let reason = Reason {
            code: "ContainerExitNonZero".into(),
            ..Reason::default()
        };
        let wait = Step {
            reason: Some(reason.clone()),
            ..step("wait", StepStatus::Error, vec![])
        };
        let web = step(
            "web",
            StepStatus::Error,
            vec![step("deploy", StepStatus::Success, vec![]), wait],
        );
        let build = step(
            "build",
            StepStatus::Success,
            vec![step("initialize", StepStatus::Success, vec![])],
        );
        let deploy = step(
            "deploy",
            StepStatus::Error,
            vec![web, step("finalize", StepStatus::Pending, vec![])],
        );
        let progress = Progress::of(vec![build, deploy]);
        assert_eq!((progress.total_steps, progress.success_steps), (4, 2));
        assert_eq!((progress.error_steps, progress.pending_steps), (1, 1));
        assert_eq!(progress.summary_steps[1].reason, Some(reason));
        assert!(progress.summary_steps.iter().all(|step| step.steps.is_empty()));
        assert_eq!(
            progress.failed_step().map(|step| step.name.as_str()),
            Some("wait")
        );
    }
}

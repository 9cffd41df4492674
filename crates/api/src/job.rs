//! Runs of jobs.

use jiff::Timestamp;
use mainstay_spec::JobSchedule;

use crate::{
    Reason, User,
    wire::{wire_list, wire_object, wire_words},
};

wire_object! {
    pub struct JobInvocation {
        pub id: String,
        pub job_name: String,
        pub deployment_id: String,
        pub phase: JobInvocationPhase,
        pub trigger: Option<JobTrigger>,
        pub created_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub completed_at: Option<Timestamp>,
        /// Addition: why it failed.
        pub reason: Option<Reason>,
        /// Addition: why it was skipped, or begun late; empty mostly.
        pub note: String,
    }
}

wire_words! {
    pub enum JobInvocationPhase {
        Unknown = "UNKNOWN",
        Pending = "PENDING",
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        Canceled = "CANCELED",
        Skipped = "SKIPPED",
    }
}

wire_object! {
    pub struct JobTrigger {
        pub r#type: JobTriggerType,
        pub scheduled: Option<ScheduledTrigger>,
        pub manual: Option<ManualTrigger>,
    }
}

wire_words! {
    pub enum JobTriggerType {
        Unknown = "UNKNOWN",
        Manual = "MANUAL",
        #[serde(alias = "SCHEDULE")]
        Scheduled = "SCHEDULED",
    }
}

wire_object! {
    pub struct ScheduledTrigger {
        pub schedule: JobSchedule,
        /// Addition: the time of the schedule that gave rise to it.
        pub due_at: Option<Timestamp>,
    }
}

wire_object! {
    pub struct ManualTrigger {
        pub user: User,
    }
}

wire_list! {
    pub struct JobInvocationsResponse {
        pub job_invocations: Vec<JobInvocation>,
    }
}

wire_object! {
    pub struct JobInvocationResponse {
        pub job_invocation: JobInvocation,
    }
}

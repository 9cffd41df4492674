//! The app's SCHEDULED jobs: when each is due, and what is done then.
//!
//! ```text
//!  serves ─▶ timetable (read once) ─▶ due ─▶ a run is stored under its time ─▶ it runs, or is skipped as one goes on still
//! ```
//!
//! A time is acted upon once: the run's row is unique in it, and says after a restart from when on the job is due again.

use std::sync::Arc;

use jiff::Timestamp;
use mainstay_diagnosis::{Reason, facts::Changes};
use mainstay_shim::log::LogSource;
use mainstay_spec::{
    AppSpec, ComponentRef, Job, JobKind, JobSchedule,
    ids::DeploymentId,
    schedule::{Due, Schedule},
};
use mainstay_store::{DeploymentRow, InvocationPhase, InvocationRow, Trigger};
use tokio::time::Instant;

use super::{Actor, STORE_PAUSE, reasons::RUN};
use crate::{
    platform::PlatformError,
    rollout::jobs::{JobEnd, JobReport, log_name},
};

/// A run that begins later than this after its time says so.
const LATE_AFTER_SECONDS: i64 = 60;
/// Deployments that are looked back at to find since when a schedule is in effect.
const LOOKED_BACK_AT: usize = 50;

/// The schedules of the deployment that serves.
#[derive(Debug)]
pub(super) struct Timetable {
    deployment: DeploymentId,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    job: String,
    schedule: Schedule,
    /// Its times up to this one were acted upon.
    seen: Timestamp,
    next: Option<Timestamp>,
}

impl Entry {
    fn new(job: String, schedule: Schedule, seen: Timestamp) -> Self {
        let next = schedule.next_after(seen);
        Self {
            job,
            schedule,
            seen,
            next,
        }
    }

    fn due(&self, now: Timestamp) -> Option<Due> {
        self.next.filter(|next| *next <= now)?;
        self.schedule.due(self.seen, now)
    }

    fn acted_upon(&mut self, time: Timestamp) {
        self.seen = time;
        self.next = self.schedule.next_after(time);
    }
}

impl Actor {
    /// When there is something to do about schedules.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let serving = self.serving.as_ref()?;
        let known = self.timetable.as_ref();
        let at = match known.filter(|table| table.deployment == serving.row.id) {
            None => Instant::now(),
            Some(table) => {
                let next = table.entries.iter().filter_map(|entry| entry.next).min()?;
                let left = next.duration_since(self.platform.clock.now());
                Instant::now() + std::time::Duration::try_from(left).unwrap_or_default()
            }
        };
        Some(at.max(self.schedules_wait_until))
    }

    /// Runs what is due. What the store refuses is tried again.
    pub(super) async fn keep_schedules(&mut self) {
        if let Err(error) = self.act_upon_schedules().await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not act upon a schedule; will try again");
            self.schedules_wait_until = Instant::now() + STORE_PAUSE;
        }
    }

    async fn act_upon_schedules(&mut self) -> Result<(), PlatformError> {
        let Some(serving) = &self.serving else {
            return Ok(());
        };
        let deployment = Arc::clone(&serving.row);
        let mut table = match self.timetable.take() {
            Some(table) if table.deployment == deployment.id => table,
            _ => self.read_timetable(&deployment).await?,
        };
        let now = self.platform.clock.now();
        let mut acted = Ok(());
        for entry in &mut table.entries {
            let Some(due) = entry.due(now) else { continue };
            acted = self.run_by_schedule(&deployment, &entry.job, due, now).await;
            if acted.is_err() {
                break;
            }
            entry.acted_upon(due.latest);
        }
        self.timetable = Some(table);
        acted
    }

    async fn read_timetable(&self, deployment: &Arc<DeploymentRow>) -> Result<Timetable, PlatformError> {
        let mut entries = Vec::new();
        let mut last_due = self.platform.store.last_due(self.app).await?;
        for (job, written) in scheduled(&deployment.spec) {
            let schedule = match Schedule::read(written) {
                Ok(schedule) => schedule,
                Err(error) => {
                    tracing::error!(app = %self.app, job = job.name, error = &error as &dyn std::error::Error, "a job has no schedule that can be read");
                    continue;
                }
            };
            let acted_upon = last_due.remove(&job.name);
            let since = self.in_effect_since(deployment, job, acted_upon).await?;
            let seen = acted_upon.map_or(since, |time| time.max(since));
            entries.push(Entry::new(job.name.clone(), schedule, seen));
            self.show_last_run(deployment.id, &job.name).await?;
        }
        Ok(Timetable {
            deployment: deployment.id,
            entries,
        })
    }

    /// When a deployment with this schedule began to serve: a newer one with the same takes nothing away that was due before it.
    async fn in_effect_since(
        &self,
        serving: &Arc<DeploymentRow>,
        job: &Job,
        acted_upon: Option<Timestamp>,
    ) -> Result<Timestamp, PlatformError> {
        let began = |row: &DeploymentRow| row.activated_at.unwrap_or(row.created_at);
        let (mut since, mut previous) = (began(serving), serving.previous);
        for _ in 0..LOOKED_BACK_AT {
            let Some(id) = previous.filter(|_| acted_upon.is_none_or(|time| time < since)) else {
                break;
            };
            let row = self.platform.store.deployment(id).await?;
            let same = |row: &DeploymentRow| {
                let mut jobs = scheduled(&row.spec);
                let known = jobs.find(|(known, _)| known.name == job.name);
                known.is_some_and(|(_, schedule)| Some(schedule) == job.schedule.as_ref())
            };
            let Some(row) = row.filter(|row| row.activated_at.is_some() && same(row)) else {
                break;
            };
            (since, previous) = (began(&row).min(since), row.previous);
        }
        Ok(since)
    }

    async fn run_by_schedule(
        &mut self,
        deployment: &Arc<DeploymentRow>,
        job: &str,
        due: Due,
        now: Timestamp,
    ) -> Result<(), PlatformError> {
        let open = self.platform.store.open_invocations(self.app).await?;
        let before = open.iter().find(|row| row.job == job);
        let note = [before.map(skipped), late(due, now)];
        let note: Vec<String> = note.into_iter().flatten().collect();
        let note = (!note.is_empty()).then(|| note.join(" "));
        let trigger = Trigger::Schedule { due_at: due.latest };
        let skip = before.is_some();
        let row = self.begin(deployment, job, trigger, skip, note).await?;
        if let Some(note) = &row.note {
            let logs = &self.platform.logs;
            logs.deploy_line(row.deployment, &log_name(&row), LogSource::Platform, note);
        }
        if row.phase.is_over() {
            tracing::info!(app = %self.app, job, due = %due.latest, note = row.note, "a scheduled run was skipped");
            return Ok(());
        }
        let id = row.id;
        if let Err(error) = self.spawn_run(deployment, row, &Changes::default()).await {
            // It is stored: as failed, or as one to be taken up again.
            tracing::error!(invocation = %id, job, error = &error as &dyn std::error::Error, "could not begin a scheduled run");
        }
        Ok(())
    }

    /// What a run that no deployment waited for says about its job.
    pub(super) async fn show_run(&self, deployment: DeploymentId, report: &JobReport) {
        if !self.serves(deployment) {
            return;
        }
        match &report.end {
            JobEnd::Succeeded => self.resolve(deployment, &report.job, RUN).await,
            JobEnd::Failed(reason) => self.show_failed_run(deployment, &report.job, reason).await,
            JobEnd::Canceled => {}
        }
    }

    /// The same for a run whose end nobody was told, because the server ended then.
    async fn show_last_run(&self, deployment: DeploymentId, job: &str) -> Result<(), PlatformError> {
        let last = self.platform.store.last_invocation(self.app, job).await?;
        let Some(run) = last.filter(|run| run.deployment == deployment) else {
            return Ok(());
        };
        match (run.phase, &run.reason) {
            (InvocationPhase::Succeeded, _) => self.resolve(deployment, job, RUN).await,
            (InvocationPhase::Failed, Some(reason)) => self.show_failed_run(deployment, job, reason).await,
            _ => {}
        }
        Ok(())
    }

    async fn show_failed_run(&self, deployment: DeploymentId, job: &str, reason: &Reason) {
        self.show(deployment, job, RUN, Some(Box::new(reason.clone())))
            .await;
    }
}

fn scheduled(spec: &AppSpec) -> impl Iterator<Item = (&Job, &JobSchedule)> {
    spec.components().filter_map(|component| match component {
        ComponentRef::Job(job) if job.kind() == JobKind::Scheduled => Some((job, job.schedule.as_ref()?)),
        _ => None,
    })
}

fn skipped(before: &InvocationRow) -> String {
    let began = before.started_at.unwrap_or(before.created_at);
    format!(
        "Skipped: run {} of the job, which began at {}, was still going on.",
        before.id,
        began.strftime("%F %T UTC")
    )
}

fn late(due: Due, now: Timestamp) -> Option<String> {
    let late = now.duration_since(due.latest).as_secs() > LATE_AFTER_SECONDS;
    if !late && due.earlier == 0 {
        return None;
    }
    let at = due.latest.strftime("%F %T UTC");
    let times = match due.earlier {
        0 => String::new(),
        1 => " One time before it was missed and is not made up.".to_owned(),
        many => format!(" {many} times before it were missed and are not made up."),
    };
    Some(format!(
        "It was due at {at}, when the platform did not run or could not see to it.{times}"
    ))
}

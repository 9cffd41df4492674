//! Runs of jobs: list, read, ask for, call off, and their logs.

use mainstay_spec::ids::{AppId, DeploymentId, InvocationId};
use mainstay_store::{DeploymentRow, InvocationRow};
use tokio::sync::oneshot;

use super::{
    Application, Refusal, answer,
    apps::Page,
    links::{LogKind, LogWish},
};
use crate::rollout::{Command, JobRefusal};

impl From<JobRefusal> for Refusal {
    fn from(refusal: JobRefusal) -> Self {
        match refusal {
            JobRefusal::Platform(error) => error.into(),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

/// A run with the spec that it is of.
#[derive(Debug, Clone)]
pub(crate) struct InvocationView {
    pub row: InvocationRow,
    pub deployment: DeploymentRow,
}

impl Application {
    /// Newest first; of all jobs and deployments unless some are named.
    pub(crate) async fn invocations(
        &self,
        app: AppId,
        jobs: &[String],
        deployment: Option<DeploymentId>,
        page: Page,
    ) -> Result<(Vec<InvocationView>, u64), Refusal> {
        self.app(app).await?;
        let store = &self.platform.store;
        let (rows, total) = store
            .invocations(app, jobs, deployment, page.offset(), page.size)
            .await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            views.push(self.invocation_view(row).await?);
        }
        Ok((views, total))
    }

    pub(crate) async fn invocation(&self, app: AppId, id: InvocationId) -> Result<InvocationView, Refusal> {
        let row = self.platform.store.invocation(id).await?;
        let row = row.filter(|row| row.app == app).ok_or(Refusal::NotFound)?;
        self.invocation_view(row).await
    }

    async fn invocation_view(&self, row: InvocationRow) -> Result<InvocationView, Refusal> {
        let deployment = self.platform.store.deployment(row.deployment).await?;
        let deployment = deployment.ok_or(Refusal::NotFound)?;
        Ok(InvocationView { row, deployment })
    }

    /// Ends a run before its time. Jobs that a deployment waits for end with the deployment only.
    pub(crate) async fn cancel_invocation(
        &self,
        app: AppId,
        id: InvocationId,
    ) -> Result<InvocationView, Refusal> {
        self.invocation(app, id).await?;
        let (canceled, answered) = oneshot::channel();
        let command = Command::CancelInvocation {
            invocation: id,
            canceled,
        };
        drop(self.actor(app).send(command).await);
        answer(answered).await??;
        self.invocation(app, id).await
    }

    /// Runs a job of the serving deployment now, whatever its kind.
    pub(crate) async fn run_job(&self, app: AppId, job: &str, by: &str) -> Result<InvocationView, Refusal> {
        self.app(app).await?;
        let (begun, answered) = oneshot::channel();
        let command = Command::RunJob {
            job: job.to_owned(),
            by: by.to_owned(),
            begun,
        };
        drop(self.actor(app).send(command).await);
        let id = answer(answered).await??;
        self.invocation(app, id).await
    }

    /// The log of one run.
    pub(crate) async fn job_log_wish(
        &self,
        app: AppId,
        invocation: InvocationId,
        follow: bool,
        tail: Option<usize>,
    ) -> Result<LogWish, Refusal> {
        let view = self.invocation(app, invocation).await?;
        Ok(LogWish {
            app,
            deployment: view.row.deployment,
            component: Some(view.row.job),
            kind: LogKind::Job { invocation },
            follow,
            tail,
        })
    }
}

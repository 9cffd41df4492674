//! What the application layer asks of an app: deploy, cancel, delete.

use std::sync::Arc;

use mainstay_build::BuilderError;
use mainstay_deploy::Event;
use mainstay_diagnosis::facts::StopReason;
use mainstay_spec::ids::DeploymentId;
use mainstay_store::{AppChange, DeploymentRow, NewDeployment};

use super::{Actor, Command, STORE_PAUSE};
use crate::{
    databases,
    platform::PlatformError,
    rollout::{forget, history, retire::retire},
    tasks::Stage,
};

impl Actor {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Deploy { new, change, stored } => drop(stored.send(self.accept(*new, change).await)),
            Command::Cancel {
                deployment,
                by,
                canceled,
            } => drop(canceled.send(self.cancel(deployment, by).await)),
            Command::RunJob { job, by, begun } => drop(begun.send(self.run_by_hand(&job, by).await)),
            Command::CancelInvocation { invocation, canceled } => {
                self.cancel_invocation(invocation, canceled);
            }
            Command::Delete { .. } => unreachable!("handled by the loop"),
        }
    }

    pub(super) async fn accept(
        &mut self,
        new: NewDeployment,
        change: AppChange,
    ) -> Result<(), PlatformError> {
        self.platform.store.accept(&new, change).await?;
        // It is stored, and so accepted: what goes wrong from here on is made good later.
        self.take_up_accepted().await;
        Ok(())
    }

    /// Whatever is stored, not at its end and not worked on waits for its turn. Among it may be what a store that broke off stored all the same.
    pub(super) async fn take_up_accepted(&mut self) {
        let unsettled = match self.platform.store.unsettled_deployments(self.app).await {
            Ok(unsettled) => unsettled,
            Err(error) => {
                tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not read an app's deployments");
                return;
            }
        };
        for row in unsettled {
            let is_known = self.worked_on().any(|known| known.id == row.id);
            if !is_known {
                self.take_up_one(Arc::new(row)).await;
            }
        }
    }

    /// A newer deployment overtakes those that wait, and the one at work as long as it has not begun to change what runs. An older one comes
    /// too late. A restart waits for its turn: what it would overtake could be an update, and that must not be lost.
    async fn take_up_one(&mut self, row: Arc<DeploymentRow>) {
        let newer = self
            .worked_on()
            .filter(|known| known.number > row.number && known.overtakes(&row));
        if let Some(newer) = newer.max_by_key(|known| known.number).cloned() {
            return self.overtake(row, newer.id).await;
        }
        for waiting in std::mem::take(&mut self.waiting) {
            if row.overtakes(&waiting) {
                self.overtake(waiting, row.id).await;
            } else {
                self.waiting.push_back(waiting);
            }
        }
        let overtaken = Event::NewerAccepted { deployment: row.id };
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.state.phase.can_be_overtaken() && row.overtakes(&current.row))
        {
            self.advance(overtaken).await;
        }
        let turn = self
            .waiting
            .partition_point(|waiting| waiting.number < row.number);
        self.waiting.insert(turn, row);
    }

    /// Ends a deployment that waits, unless an earlier server let it begin to change what runs. While its end cannot be stored it waits no
    /// longer, but is found again.
    async fn overtake(&mut self, row: Arc<DeploymentRow>, by: DeploymentId) {
        match history::overtake(&self.platform.store, &row, by).await {
            Ok(true) => {}
            Ok(false) => self.waiting.push_back(row),
            Err(error) => {
                tracing::error!(deployment = %row.id, error = &error as &dyn std::error::Error, "could not note a successor");
            }
        }
    }

    fn worked_on(&self) -> impl Iterator<Item = &Arc<DeploymentRow>> {
        let serving = self.serving.as_ref().map(|serving| &serving.row);
        let current = self.current.as_ref().map(|current| &current.row);
        serving.into_iter().chain(current).chain(&self.waiting)
    }

    pub(super) async fn cancel(&mut self, deployment: DeploymentId, by: String) -> bool {
        let event = Event::CancelRequested { by };
        if let Some(current) = self
            .current
            .as_ref()
            .filter(|current| current.row.id == deployment)
        {
            let in_time = current.state.phase.can_cancel();
            if in_time {
                self.advance(event).await;
            }
            return in_time;
        }
        let Some(index) = self.waiting.iter().position(|row| row.id == deployment) else {
            return false;
        };
        let appended = history::append(&self.platform.store, deployment, &event).await;
        if appended.is_ok() {
            self.waiting.remove(index);
        }
        appended.is_ok()
    }

    pub(super) async fn delete(&mut self) {
        self.waiting.clear();
        if let Some(mut current) = self.current.take() {
            self.call_off(&mut current);
        }
        self.end_all_jobs().await;
        if let Some(mut serving) = self.serving.take() {
            self.retire_released(serving.row.id, &mut serving.fleet, StopReason::Requested);
        }
        // No start is under way any more when these have ended.
        while self.chores.join_next().await.is_some() {}
        loop {
            match self.take_down().await {
                Ok(()) => break self.platform.nudge.nudge(),
                // It is marked as going: the next server goes on.
                Err(_) if self.platform.tasks.is_at(Stage::Ending) => return,
                Err(PlatformError::Builder(BuilderError::Building { app })) => {
                    tracing::info!(%app, "an app is deleted as soon as its build has ended");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not delete an app; will try again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    pub(super) async fn take_down(&mut self) -> Result<(), PlatformError> {
        self.platform.routes.set_app(self.app, Vec::new()).await?;
        let present = self.platform.store.present_instances(self.app).await?;
        retire(&self.platform, present, StopReason::Requested).await;
        if let Some(row) = self.platform.store.present_instances(self.app).await?.first() {
            return Err(PlatformError::Missing {
                what: format!("the end of instance {}", row.id),
            });
        }
        // Whoever asked for the deletion said that their data may go.
        databases::delete_all(&self.platform, self.app).await?;
        self.platform.engine.remove_network(self.app).await?;
        forget::forget(&self.platform, self.app).await?;
        Ok(self.platform.store.delete_app(self.app).await?)
    }
}

//! Accepting a deployment, together with what it means for its app.

use jiff::Timestamp;
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
};
use sqlx::SqliteConnection;

use crate::{NewDeployment, Store, StoreError, apps, deployments, hosts, limits};

/// What accepting a deployment changes about its app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppChange {
    Nothing,
    /// Its spec becomes the app's.
    Spec,
    /// The app stays at it until [`Store::unpin`] or [`AppChange::Unpin`].
    Pin,
    /// The app no longer stays at the rollback before.
    Unpin,
}

impl Store {
    /// Stores the deployment and the change, both or neither. While an app stays at a rollback, only what ends that is accepted.
    ///
    /// # Errors
    /// [`StoreError::Pinned`], [`StoreError::NotPinned`]; [`StoreError::NameTaken`] when its spec has a new name, and it is in use;
    /// [`StoreError::HostTaken`] when another app has one of its hosts; [`StoreError::NoApp`] when the app is gone or going.
    pub async fn accept(&self, new: &NewDeployment, change: AppChange) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("accept deployment {}", new.id));
        // It reads before it writes: begun as a reader it could be refused in the middle.
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let pinned = pinned(&mut transaction, new.app).await?;
        match (change, pinned) {
            (AppChange::Unpin, None) => return Err(StoreError::NotPinned { app: new.app }),
            (AppChange::Unpin, Some(_)) => pin(&mut transaction, new.app, None).await?,
            (_, Some(deployment)) => {
                return Err(StoreError::Pinned {
                    app: new.app,
                    deployment,
                });
            }
            (AppChange::Pin, None) => pin(&mut transaction, new.app, Some(new.id)).await?,
            (AppChange::Spec, None) => {
                apps::update_spec(&mut transaction, new.app, &new.spec, new.created_at).await?;
                limits::take(&mut transaction, new.app, &new.spec, Some(&self.limits)).await?;
            }
            (AppChange::Nothing, None) => {}
        }
        hosts::claim(&mut transaction, new.app, &new.spec, &self.domain).await?;
        deployments::insert(&mut transaction, new).await?;
        transaction.commit().await.map_err(failed())
    }

    /// The rollback that the app stays at is for good: its spec becomes the app's.
    ///
    /// # Errors
    /// [`StoreError::NotPinned`] unless the app stays at this deployment; [`StoreError::NameTaken`], [`StoreError::NoApp`].
    pub async fn unpin(
        &self,
        app: AppId,
        deployment: DeploymentId,
        spec: &AppSpec,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("commit the rollback of app {app}"));
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        if pinned(&mut transaction, app).await? != Some(deployment) {
            return Err(StoreError::NotPinned { app });
        }
        apps::update_spec(&mut transaction, app, spec, now).await?;
        // It runs already: no limit can undo that.
        limits::take(&mut transaction, app, spec, None).await?;
        pin(&mut transaction, app, None).await?;
        transaction.commit().await.map_err(failed())
    }
}

async fn pinned(connection: &mut SqliteConnection, app: AppId) -> Result<Option<DeploymentId>, StoreError> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("SELECT pinned_deployment FROM apps WHERE id = ? AND deleting = 0")
            .bind(app.to_string())
            .fetch_optional(connection)
            .await
            .map_err(StoreError::during(format!("read app {app}")))?;
    let pinned = found.ok_or(StoreError::NoApp { app })?;
    pinned
        .map(|id| id.parse())
        .transpose()
        .map_err(StoreError::damaged("pinned deployment", app))
}

async fn pin(
    connection: &mut SqliteConnection,
    app: AppId,
    deployment: Option<DeploymentId>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET pinned_deployment = ? WHERE id = ?")
        .bind(deployment.map(|id| id.to_string()))
        .bind(app.to_string())
        .execute(connection)
        .await
        .map_err(StoreError::during(format!("pin app {app}")))?;
    Ok(())
}

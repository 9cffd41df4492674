//! Apps: create, read, update, delete.

use std::collections::{BTreeMap, HashMap};

use mainstay_deploy::PhaseKind;
use mainstay_spec::{
    AppSpec, SpecError,
    ids::{AccountId, AppId, DeploymentId},
};
use mainstay_store::{AppRow, DeploymentRow};

use super::{Application, Refusal, answer, deployments::Wish};
use crate::{databases, rollout::Command, secrets::Keyring, uploads};

/// An app with the deployments that clients ask for along with it.
#[derive(Debug, Clone)]
pub(crate) struct AppView {
    pub app: AppRow,
    pub active: Option<DeploymentRow>,
    /// Waiting for its turn.
    pub pending: Option<DeploymentRow>,
    /// Being built or deployed.
    pub in_progress: Option<DeploymentRow>,
    /// The rollback that the app stays at.
    pub pinned: Option<DeploymentRow>,
}

/// What a create or an update came to.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub view: AppView,
    pub deployment: DeploymentId,
    /// What the app had and has no longer.
    pub lost: Vec<SpecError>,
}

/// How a spec replaces the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HowToUpdate {
    /// All components take their newest commits.
    pub update_sources: bool,
    /// Not if a variable would vanish or a secret be wiped.
    pub refuse_losses: bool,
}

/// What a spec would become.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub spec: AppSpec,
    pub name_is_free: bool,
    pub lost: Vec<SpecError>,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// From 1.
    pub number: u64,
    pub size: u64,
}

impl Page {
    pub(crate) fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }
}

impl Application {
    /// Creates the app and its first deployment.
    pub(crate) async fn create_app(&self, account: AccountId, spec: &AppSpec) -> Result<Accepted, Refusal> {
        self.check(account, spec, None).await?;
        let id = AppId::from_uuid(uuid::Uuid::new_v4());
        let sealed = self
            .platform
            .secrets
            .sealed(id, spec, None)
            .map_err(Refusal::Spec)?;
        let first = Wish::initial(sealed).into_deployment(new_deployment_id(), id, None);
        self.platform.store.create_app(account, &first).await?;
        // It finds its first deployment as it would after a restart.
        self.actor(id);
        Ok(Accepted {
            view: self.app(id).await?,
            deployment: first.id,
            lost: Vec::new(),
        })
    }

    pub(crate) async fn app(&self, id: AppId) -> Result<AppView, Refusal> {
        let app = self
            .platform
            .store
            .app(id)
            .await?
            .filter(|app| !app.deleting)
            .ok_or(Refusal::NotFound)?;
        self.view(app).await
    }

    /// The same, if it is the account's: for ids that no guard has looked at.
    pub(crate) async fn app_of(&self, account: AccountId, id: AppId) -> Result<AppView, Refusal> {
        let view = self.app(id).await?;
        if view.app.account == account {
            Ok(view)
        } else {
            Err(Refusal::NotFound)
        }
    }

    #[cfg(test)]
    pub(crate) async fn app_by_name(&self, account: AccountId, name: &str) -> Result<AppView, Refusal> {
        let app = self
            .platform
            .store
            .app_by_name(account, name)
            .await?
            .filter(|app| !app.deleting)
            .ok_or(Refusal::NotFound)?;
        self.view(app).await
    }

    pub(crate) async fn apps(&self, account: AccountId, page: Page) -> Result<(Vec<AppView>, u64), Refusal> {
        let store = &self.platform.store;
        let (rows, total) = store.apps(account, page.offset(), page.size).await?;
        Ok((self.views(rows).await?, total))
    }

    /// Replaces the whole spec and deploys it. Components keep their commits unless told otherwise.
    pub(crate) async fn update_app(
        &self,
        id: AppId,
        spec: &AppSpec,
        how: HowToUpdate,
    ) -> Result<Accepted, Refusal> {
        let before = self.app(id).await?;
        self.check(before.app.account, spec, Some(id)).await?;
        let (sealed, lost) = self.sealed_update(&before.app, spec)?;
        if how.refuse_losses && !lost.is_empty() {
            return Err(Refusal::Spec(lost));
        }
        let pinned = if how.update_sources {
            BTreeMap::new()
        } else {
            self.pinned_sources(&before, &sealed).await?
        };
        let deployment = self.deploy(id, Wish::update(sealed, pinned)).await?;
        Ok(Accepted {
            view: self.app(id).await?,
            deployment,
            lost,
        })
    }

    /// A new spec of the app as it would be stored, and what the app would lose by it.
    fn sealed_update(&self, before: &AppRow, spec: &AppSpec) -> Result<(AppSpec, Vec<SpecError>), Refusal> {
        let secrets = &self.platform.secrets;
        let sealed = secrets
            .sealed(before.id, spec, Some(&before.spec))
            .map_err(Refusal::Spec)?;
        let lost = mainstay_spec::losses(&before.spec, &sealed);
        Ok((sealed, lost))
    }

    /// Returns at once; what runs is drained and stopped in the background. An app with databases is only deleted `with_databases`: their data
    /// goes with them.
    pub(crate) async fn delete_app(&self, id: AppId, with_databases: bool) -> Result<(), Refusal> {
        self.app(id).await?;
        let databases = self.platform.store.databases_of_app(id).await?;
        if !databases.is_empty() && !with_databases {
            let names: Vec<String> = databases.iter().map(|row| format!("`{}`", row.name)).collect();
            return Err(Refusal::Conflict(format!(
                "the app has databases, whose data would be deleted for good: {}; to delete them with it, set delete_databases=true (`mainstay apps delete --delete-databases`)",
                names.join(", ")
            )));
        }
        self.platform.store.mark_app_deleting(id).await?;
        let (gone, _) = tokio::sync::oneshot::channel();
        drop(self.actor(id).send(Command::Delete { gone }).await);
        Ok(())
    }

    /// What this version cannot run is refused by name; so are encrypted secrets where there is no app yet.
    async fn check(&self, account: AccountId, spec: &AppSpec, app: Option<AppId>) -> Result<(), Refusal> {
        let mut unsupported = mainstay_spec::unsupported(spec);
        unsupported.extend(databases::check(&self.platform, account, spec, app).await?);
        unsupported.extend(uploads::check(&self.platform, account, spec).await?);
        if app.is_none() {
            unsupported.extend(Keyring::check_new(spec));
        }
        if unsupported.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Spec(unsupported))
        }
    }

    /// The spec as it would be accepted. For an app that is yet to be created its secrets stay as they were sent: they are nobody's yet, and
    /// nothing is stored. For another they are sealed anew, also where they are what the app has already: who may only read could else find out
    /// by guessing.
    pub(crate) async fn propose(
        &self,
        account: AccountId,
        spec: &AppSpec,
        app: Option<AppId>,
    ) -> Result<Proposal, Refusal> {
        let before = match app {
            Some(app) => Some(self.app_of(account, app).await?.app),
            None => None,
        };
        self.check(account, spec, app).await?;
        let taken = self.platform.store.app_by_name(account, &spec.name).await?;
        let (spec, lost) = match &before {
            Some(before) => {
                let sealed = self.platform.secrets.sealed(before.id, spec, None);
                let sealed = sealed.map_err(Refusal::Spec)?;
                let lost = mainstay_spec::losses(&before.spec, &sealed);
                (sealed, lost)
            }
            None => (spec.clone(), Vec::new()),
        };
        Ok(Proposal {
            spec,
            name_is_free: taken.is_none_or(|other| Some(other.id) == app),
            lost,
        })
    }

    async fn view(&self, app: AppRow) -> Result<AppView, Refusal> {
        let views = self.views(vec![app]).await?;
        views.into_iter().next().ok_or(Refusal::NotFound)
    }

    /// In the order of the rows, with two questions to the store however many there are.
    async fn views(&self, apps: Vec<AppRow>) -> Result<Vec<AppView>, Refusal> {
        let store = &self.platform.store;
        let ids: Vec<AppId> = apps.iter().map(|app| app.id).collect();
        let settled = |app: &AppRow| [app.active_deployment, app.pinned_deployment];
        let settled: Vec<DeploymentId> = apps.iter().flat_map(settled).flatten().collect();
        let settled = store.deployments_by_id(&settled).await?;
        let settled: HashMap<DeploymentId, DeploymentRow> =
            settled.into_iter().map(|row| (row.id, row)).collect();
        let mut unsettled: HashMap<AppId, Vec<DeploymentRow>> = HashMap::new();
        for row in store.unsettled_of_apps(&ids).await? {
            unsettled.entry(row.app).or_default().push(row);
        }
        let found = |id: Option<DeploymentId>| settled.get(&id?).cloned();
        let view = |app: AppRow| {
            let unsettled = unsettled.remove(&app.id).unwrap_or_default();
            AppView {
                active: found(app.active_deployment),
                pinned: found(app.pinned_deployment),
                pending: unsettled.iter().rev().find(|row| waits(row)).cloned(),
                in_progress: unsettled.into_iter().find(is_under_way),
                app,
            }
        };
        Ok(apps.into_iter().map(view).collect())
    }

    pub(crate) async fn deploy(&self, app: AppId, wish: Wish) -> Result<DeploymentId, Refusal> {
        let before = self.platform.store.app(app).await?.ok_or(Refusal::NotFound)?;
        let id = new_deployment_id();
        let change = wish.change();
        let new = Box::new(wish.into_deployment(id, app, before.active_deployment));
        let (stored, answered) = tokio::sync::oneshot::channel();
        let command = Command::Deploy { new, change, stored };
        drop(self.actor(app).send(command).await);
        answer(answered).await??;
        Ok(id)
    }
}

fn waits(row: &DeploymentRow) -> bool {
    row.phase == PhaseKind::PendingBuild
}

/// A failed one whose last jobs run no longer is.
fn is_under_way(row: &DeploymentRow) -> bool {
    !waits(row) && row.phase != PhaseKind::Failing
}

fn new_deployment_id() -> DeploymentId {
    DeploymentId::from_uuid(uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use mainstay_spec::{Sensitive, VariableType};
    use mainstay_testkit::Place;

    use super::*;
    use crate::system::{Server, World};

    fn spec(server: &Server<'_>, secret: &str) -> AppSpec {
        let mut spec = server.world.good("1");
        let variable = &mut spec.services[0].envs[0];
        variable.r#type = Some(VariableType::Secret);
        variable.value = secret.into();
        spec
    }

    fn secret(spec: &AppSpec) -> &Sensitive {
        &spec.services[0].envs[0].value
    }

    #[test]
    fn a_proposal_does_not_tell_whether_a_guess_at_a_secret_is_right() {
        let place = Place::claim();
        let world = World::new(place.address(3).port(), 0);
        let lived = world.live(async |server| {
            let application = &server.application;
            let created = application
                .create_app(AccountId::FIRST, &spec(server, "hunter2"))
                .await;
            let app = created.expect("nothing is wrong").view.app;
            let propose = async |guess: &str| {
                let proposed = application
                    .propose(AccountId::FIRST, &spec(server, guess), Some(app.id))
                    .await;
                secret(&proposed.expect("nothing is wrong").spec).clone()
            };
            let guesses = [
                propose("hunter2").await,
                propose("hunter2").await,
                propose("hunter3").await,
            ];
            assert!(guesses.iter().all(Sensitive::is_encrypted));
            let known = secret(&app.spec);
            assert!(
                !guesses.contains(known),
                "the right one is told by what the app's own spec has"
            );
            assert_ne!(guesses[0], guesses[1], "a guess is told by nothing");
            // As downloaded, it is a proposal of the same.
            let same = application
                .propose(AccountId::FIRST, &app.spec, Some(app.id))
                .await;
            assert_eq!(same.expect("nothing is wrong").spec, app.spec);
        });
        assert!(lived.is_some(), "nothing kills this server");
    }
}

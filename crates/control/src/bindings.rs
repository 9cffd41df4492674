//! A component's variables at build and at run time, with what only the platform knows filled in.

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::RunTimeVariable;
use mainstay_spec::{
    ComponentRef,
    database_binding::DatabaseBinding,
    environment::{self, Bindables, Binding, When, environment},
};
use mainstay_store::DeploymentRow;

use crate::{platform::Platform, rollout::BuildRow, secrets::OpenedSpec};

/// Of build scope. The app's own address is known before the build; commits are not part of it.
pub(crate) fn build_variables(
    platform: &Platform,
    deployment: &DeploymentRow,
    spec: &OpenedSpec,
    component: ComponentRef<'_>,
) -> Vec<Binding> {
    environment(
        spec,
        component,
        When::Build,
        &bindables(platform, deployment, &[], BTreeMap::new()),
    )
}

/// Of run scope.
pub(crate) fn run_variables(
    platform: &Platform,
    deployment: &DeploymentRow,
    spec: &OpenedSpec,
    component: ComponentRef<'_>,
    builds: &[BuildRow],
    databases: &BTreeMap<String, DatabaseBinding>,
) -> Vec<Binding> {
    environment(
        spec,
        component,
        When::Run,
        &bindables(platform, deployment, builds, databases.clone()),
    )
}

/// What a build lacks of them.
pub(crate) fn run_time_only(spec: &OpenedSpec, component: ComponentRef<'_>) -> Vec<RunTimeVariable> {
    environment::run_time_only(spec, component)
        .into_iter()
        .map(|variable| RunTimeVariable {
            name: variable.key,
            scope: variable.scope.as_str().to_owned(),
            database: variable.database,
        })
        .collect()
}

fn bindables(
    platform: &Platform,
    deployment: &DeploymentRow,
    builds: &[BuildRow],
    databases: BTreeMap<String, DatabaseBinding>,
) -> Bindables {
    let (config, suffix) = (&platform.config, &deployment.host_suffix);
    Bindables {
        app_id: Some(deployment.app.to_string()),
        app_url: Some(config.app_url(&deployment.spec, suffix)),
        app_domain: Some(config.app_domain(&deployment.spec, suffix)),
        commit_hashes: builds
            .iter()
            .map(|row| (row.component.clone(), row.source.revision.clone()))
            .collect(),
        databases,
    }
}

//! What started a deployment.

use std::collections::BTreeMap;

use mainstay_spec::RepositorySource;

use crate::wire::{wire_object, wire_words};

wire_object! {
    pub struct CauseDetails {
        pub r#type: CauseType,
        pub internal: bool,
        pub digitalocean_user_action: Option<UserAction>,
        pub git_push: Option<GitPush>,
        pub docr_push: Option<RegistryPush>,
        pub autoscaler: Option<AutoscalerAction>,
    }
}

wire_words! {
    pub enum CauseType {
        Unknown = "UNKNOWN",
        Manual = "MANUAL",
        DeployOnPush = "DEPLOY_ON_PUSH",
        Maintenance = "MAINTENANCE",
        ManualRollback = "MANUAL_ROLLBACK",
        AutoRollback = "AUTO_ROLLBACK",
        UpdateDatabaseTrustedSources = "UPDATE_DATABASE_TRUSTED_SOURCES",
        Autoscaled = "AUTOSCALED",
    }
}

wire_object! {
    pub struct UserAction {
        pub user: Option<User>,
        pub name: UserActionName,
    }
}

wire_object! {
    pub struct User {
        pub uuid: String,
        pub email: String,
        pub full_name: String,
    }
}

wire_words! {
    pub enum UserActionName {
        Unknown = "UNKNOWN",
        CreateDeployment = "CREATE_DEPLOYMENT",
        UpdateSpec = "UPDATE_SPEC",
        ResetDatabasePassword = "RESET_DATABASE_PASSWORD",
        RollbackApp = "ROLLBACK_APP",
        RevertAppRollback = "REVERT_APP_ROLLBACK",
        UpgradeBuildpack = "UPGRADE_BUILDPACK",
        Restart = "RESTART",
    }
}

wire_object! {
    pub struct GitPush {
        pub github: Option<RepositorySource>,
        pub gitlab: Option<RepositorySource>,
        pub bitbucket: Option<RepositorySource>,
        pub username: String,
        pub commit_author: String,
        pub commit_sha: String,
        pub commit_message: String,
    }
}

wire_object! {
    pub struct RegistryPush {
        pub registry: String,
        pub repository: String,
        pub tag: String,
        pub image_digest: String,
    }
}

wire_object! {
    pub struct AutoscalerAction {
        pub autoscaled: bool,
        pub scaled_components: BTreeMap<String, ScaledComponent>,
    }
}

wire_object! {
    pub struct ScaledComponent {
        pub from: u32,
        pub to: u32,
        pub triggering_metric: String,
    }
}

//! One id type per object, so that an app's id can never be passed where a deployment's is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// The first twelve hex digits, without hyphens: for names with a length limit (cgroups, directories).
            pub fn short(&self) -> String {
                let mut text = self.0.simple().to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// An app.
    AppId,
    /// One try to make a spec live.
    DeploymentId,
    /// One build of one component.
    BuildId,
    /// One container of a component; build steps have one too.
    InstanceId,
    /// One run of a job.
    InvocationId,
    /// A database of an app, with its volume.
    DatabaseId,
    /// A backup of such a database.
    BackupId,
    /// One restore of a database from a backup.
    RestoreId,
    /// A database cluster that is registered, not run.
    ClusterId,
    /// Those who see the same apps: a team.
    AccountId,
    /// Somebody of an account: a person, or a program that stands for one.
    UserId,
}

impl AccountId {
    /// The operator's account, which is there from the first start on.
    pub const FIRST: Self = Self(Uuid::nil());
}

impl UserId {
    /// Its first owner.
    pub const FIRST: Self = Self(Uuid::nil());
}

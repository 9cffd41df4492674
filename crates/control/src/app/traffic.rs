//! What visitors of apps were sent.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use mainstay_spec::ids::{AccountId, AppId};

use super::{Application, Refusal};

impl Application {
    /// By the platform's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.platform.clock.now()
    }

    /// Bytes of a day, in UTC, of those of the apps that the account has and that sent something.
    pub(crate) async fn traffic(
        &self,
        account: AccountId,
        apps: &[AppId],
        day: Date,
    ) -> Result<BTreeMap<AppId, u64>, Refusal> {
        Ok(self.platform.store.traffic(account, apps, day).await?)
    }
}

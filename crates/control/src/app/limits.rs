//! The accounts' limits: what is used of them, and how a refusal is told.

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{Changes, Facts, QuotaFacts, Subject},
};
use mainstay_spec::{ids::AccountId, kind::ComponentKind, usage::Resource};
use mainstay_store::Use;

use super::{Application, Refusal};
use crate::capacity::Room;

impl Application {
    /// Of the account.
    pub(crate) async fn limits(&self, account: AccountId) -> Result<Vec<Use>, Refusal> {
        let mut uses = self.platform.store.limits(account).await?;
        // What no spec asks for, the store does not count.
        for used in &mut uses {
            match used.resource {
                Resource::ActiveBuilds => used.used = self.platform.build_queue.running_of(account).into(),
                Resource::LogBytes => used.used = self.platform.log_use.of(account),
                _ => {}
            }
        }
        Ok(uses)
    }

    /// What cannot be taken because the disk is full.
    pub(crate) fn no_disk(&self) -> Refusal {
        match self.platform.capacity.full_disk(&self.platform) {
            Ok(facts) => Refusal::Limit(reason(facts)),
            Err(error) => error.into(),
        }
    }

    /// Of the machine.
    pub(crate) async fn rooms(&self) -> Result<Vec<Room>, Refusal> {
        Ok(self.platform.capacity.rooms(&self.platform).await?)
    }
}

/// The reason of a wish that would pass a limit of the account.
pub(super) fn reason(passed: QuotaFacts) -> Box<Reason> {
    let facts = Facts {
        // Of the whole app.
        component: String::new(),
        kind: ComponentKind::Service,
        observed_at: Timestamp::now(),
        subject: Subject::Quota(passed),
        log_tail: Vec::new(),
        changes: Changes::default(),
    };
    let reason = diagnose(&facts).into_reason();
    reason.unwrap_or_else(|| unreachable!("a limit that would be passed is a failure"))
}

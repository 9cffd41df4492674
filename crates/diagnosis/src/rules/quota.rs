//! Limits of the account or the node.

use mainstay_spec::usage::Resource;

use super::Finding;
use crate::{
    Cause, Code, Evidence, NextStep, Retry, Verdict,
    facts::{Facts, QuotaFacts, QuotaScope, QuotaUnit},
    words,
};

pub(super) fn diagnose(facts: &Facts, quota: &QuotaFacts) -> Verdict {
    let waits = quota.waiting && quota.scope == QuotaScope::Node;
    let (code, cause, whose) = match quota.scope {
        // The reference has a code of its own for databases.
        QuotaScope::Account if quota.resource == Resource::Databases.noun() => {
            (Code::DatabaseLimitExceeded, Cause::DatabaseQuota, "the account")
        }
        QuotaScope::Account => (Code::ResourceExhausted, Cause::AccountQuota, "the account"),
        QuotaScope::Node => (Code::ResourceExhausted, Cause::NodeCapacity, "this machine"),
    };
    let text = format!(
        "{} asks for {} of {}, but {whose} has {} in all and {} are in use.",
        words::component_at_start(facts),
        amount(quota.unit, quota.asked),
        quota.resource,
        amount(quota.unit, quota.limit),
        amount(quota.unit, quota.used),
    );
    let reason = Finding::new(code, cause, text)
        .evidence(Evidence::Quota(quota.clone()))
        .retry(if waits { Retry::UntilDeadline } else { Retry::No })
        .next_all(biggest(quota))
        .next(NextStep::new(match quota.scope {
            QuotaScope::Account => "Or have the account's quota raised.",
            // Of what a machine has, only addresses are counted.
            QuotaScope::Node if quota.unit == QuotaUnit::Count => {
                "Or delete apps that are not needed, use fewer instances, or have the operator give the network more \
                 addresses (`network.pool`, `network.app_prefix_length`)."
            }
            QuotaScope::Node => "Or use a smaller size, or give the machine more.",
        }))
        .into_reason(facts);
    if waits {
        Verdict::Waiting(reason)
    } else {
        Verdict::Failure(reason)
    }
}

fn biggest(quota: &QuotaFacts) -> Option<NextStep> {
    let users: Vec<String> = quota
        .biggest
        .iter()
        .map(|(name, used)| format!("{name} ({})", amount(quota.unit, *used)))
        .collect();
    (!users.is_empty()).then(|| {
        NextStep::new(format!(
            "Free what is not needed; the biggest users are {}.",
            words::list(&users, 3)
        ))
    })
}

pub(crate) fn amount(unit: QuotaUnit, amount: u64) -> String {
    match unit {
        QuotaUnit::Count => amount.to_string(),
        QuotaUnit::Bytes => words::bytes(amount),
        QuotaUnit::CpuMillis => format!("{}.{:02} cores", amount / 1000, amount % 1000 / 10),
    }
}

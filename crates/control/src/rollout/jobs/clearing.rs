//! Removing what is left of a run: its instances have ended, and so has the run. Nobody waits for this, for it may take long.

use mainstay_spec::ids::InvocationId;

use crate::platform::{Platform, PlatformError};

/// Removes the run's instances; their logs and records stay. What cannot be removed now is left to `retire`.
pub(crate) async fn clear_away(platform: &Platform, invocation: InvocationId) {
    if let Err(error) = try_to_clear_away(platform, invocation).await {
        tracing::warn!(%invocation, error = &error as &dyn std::error::Error, "could not remove a job's instances");
    }
}

async fn try_to_clear_away(platform: &Platform, invocation: InvocationId) -> Result<(), PlatformError> {
    let rows = platform.store.instances_of_invocation(invocation).await?;
    for row in rows.iter().filter(|row| !row.removed) {
        platform.engine.remove(row.id).await?;
        platform.store.mark_instance_removed(row.id).await?;
    }
    Ok(())
}

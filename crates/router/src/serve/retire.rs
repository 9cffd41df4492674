//! The end of a serving process: announce, linger, close, wait, cut.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::shared::{Phase, Shared};

/// Returns once no connection is left, or at the deadline.
///
/// Idle connections get the linger time to learn from an answer that they are to be closed: closing one at once can hit a visitor who
/// is just sending.
pub async fn retire(shared: Arc<Shared>, linger: Duration, deadline: Duration) {
    let wait = async {
        tokio::select! {
            () = shared.emptied() => return,
            () = sleep(linger) => {}
        }
        shared.enter(Phase::Closing);
        shared.emptied().await;
    };
    let _ = timeout(deadline, wait).await;
}

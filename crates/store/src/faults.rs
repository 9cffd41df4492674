//! For tests: a database that refuses, as a full or broken disk does, at a moment of the test's choice.

use std::{fmt, path::Path, sync::Arc};

use sqlx::sqlite::{SqliteConnection, SqlitePoolOptions};

use crate::{Store, StoreError};

/// Decides what the database refuses. Called on the database's own threads; must not block.
pub trait Faults: fmt::Debug + Send + Sync + 'static {
    /// Before each commit, of an explicit transaction or of a single statement; false refuses it.
    fn may_commit(&self) -> bool;

    /// At every few steps of every statement; false interrupts it.
    fn may_go_on(&self) -> bool;
}

impl Store {
    /// [`Store::open`], with everything after it at the mercy of `faults`.
    pub async fn open_with_faults(path: &Path, faults: Arc<dyn Faults>) -> Result<Self, StoreError> {
        // The schema is made before, so that the first commit is the test's own.
        Self::open(path).await?.close().await;
        let pool = || {
            let faults = Arc::clone(&faults);
            SqlitePoolOptions::new().after_connect(move |connection, _| {
                let faults = Arc::clone(&faults);
                Box::pin(async move { put_at_mercy(connection, faults).await })
            })
        };
        Self::open_in(path, pool).await
    }
}

async fn put_at_mercy(connection: &mut SqliteConnection, faults: Arc<dyn Faults>) -> sqlx::Result<()> {
    let mut handle = connection.lock_handle().await?;
    let commits = Arc::clone(&faults);
    handle.set_commit_hook(move || commits.may_commit());
    handle.set_progress_handler(1, move || faults.may_go_on());
    Ok(())
}

//! What the probe asks once it has a session: whether it may write, whether there is room to, and what its role may do.
//!
//! Nothing of it stays in the database: what has to be written to know that there is room goes into a temporary file of the server, which
//! every role may have, and which ends with its statement.

use mainstay_diagnosis::facts::{DatabaseProblem, SchemaRight};
use tokio::time::timeout;

use super::{
    super::Purpose,
    session::{Session, trouble},
};
use crate::databases::login::{CONNECT_WITHIN, Login, Trouble};

/// Logs in and asks. What the role may create is known after an end alone.
pub(super) async fn ask(login: &Login<'_>, purpose: Purpose) -> Result<Option<SchemaRight>, Trouble> {
    let session = Session::open(login).await?;
    let asked = async {
        may_write(&session, purpose).await?;
        has_room(&session).await?;
        match purpose {
            Purpose::BeforeRollout => Ok(None),
            Purpose::AfterEnd => Ok(schema_right(&session).await),
        }
    };
    let asked = timeout(CONNECT_WITHIN, asked).await;
    asked.unwrap_or_else(|_| Err(Trouble::no_answer()))
}

async fn may_write(session: &Session, purpose: Purpose) -> Result<(), Trouble> {
    let sql = "SELECT current_setting('transaction_read_only'), \
               coalesce((SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'), '')";
    let row = session.client.query_one(sql, &[]).await;
    let row = row.map_err(|error| trouble(&error))?;
    let (read_only, source): (&str, &str) = (row.get(0), row.get(1));
    let problem = match (read_only, is_of_role(source)) {
        ("on", false) => DatabaseProblem::ReadOnly,
        ("on", true) if purpose == Purpose::AfterEnd => DatabaseProblem::ReadOnlyRole,
        _ => return Ok(()),
    };
    Err(Trouble::new(problem, "transaction_read_only is on"))
}

/// Where a setting comes from, as `pg_settings` says it (`GucSource_Names` in PostgreSQL's sources).
fn is_of_role(source: &str) -> bool {
    matches!(source, "user" | "database user")
}

/// Makes the server write somewhat more than a megabyte of a result into a temporary file, for the memory of the statement is too small.
async fn has_room(session: &Session) -> Result<(), Trouble> {
    let sql = "SET work_mem = '64kB'; SELECT count(*) FROM generate_series(1, 60000)";
    let spilled = session.client.batch_execute(sql).await;
    match spilled.map_err(|error| trouble(&error)) {
        Err(full) if full.problem == DatabaseProblem::StorageFull => Err(full),
        // A server that does not let this be asked may be as good as any.
        _ => Ok(()),
    }
}

/// `None` where the server does not say, or the role's statements mean no schema.
async fn schema_right(session: &Session) -> Option<SchemaRight> {
    let sql =
        "SELECT current_schema()::text, current_user::text, has_schema_privilege(current_schema(), 'CREATE')";
    let row = session.client.query_one(sql, &[]).await.ok()?;
    Some(SchemaRight {
        schema: row.try_get(0).ok()?,
        role: row.try_get(1).ok()?,
        may_create: row.try_get(2).ok()?,
    })
}

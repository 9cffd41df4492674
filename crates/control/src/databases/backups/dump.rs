//! Takes what is in a database: in one snapshot, its rows are counted and PostgreSQL's own `pg_dump` writes them out.
//!
//! The tool runs in an instance of its own, so that what it takes of memory is not the database's. Its output comes through the engine: the
//! file is written here, where a full disk is an error number and not a word in a log.

use std::{collections::BTreeMap, net::Ipv4Addr};

use mainstay_spec::ids::InstanceId;
use mainstay_store::{BackupFailure, DatabaseRow, TableRows};

use super::{
    super::{
        engines::{self, Logins},
        login::Login,
        logins,
        postgres::{self, Session, program, trouble},
    },
    counts,
    failure::Failed,
    file::{Draft, Written},
    tool::{Answer, Input, Tool},
};
use crate::platform::Platform;

/// Inside the tool's instance.
const AUTHORITY: &str = "/tmp/ca.crt";
/// Somebody who holds a table that long without letting others read it is in the way.
const LOCK_WAIT: &str = "60s";
/// What sessions are told first: an owner of a database may set these for whoever comes. `search_path` decides what names mean.
const GUARD: &str = "SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = '60s'; \
                     SET idle_in_transaction_session_timeout = 0; SET row_security = off";

/// A database that is about to be dumped.
pub(super) struct Source<'a> {
    platform: &'a Platform,
    row: &'a DatabaseRow,
    session: Session,
}

impl<'a> Source<'a> {
    pub(super) async fn open(
        platform: &'a Platform,
        row: &'a DatabaseRow,
        address: Ipv4Addr,
    ) -> Result<Self, Failed> {
        let Logins { admin, .. } = logins(platform, row, engines::of_row(row)?, address);
        let session = Session::open(&Login {
            database: &row.database_name,
            ..admin
        })
        .await?;
        session
            .client
            .batch_execute(GUARD)
            .await
            .map_err(|error| failed(&error))?;
        Ok(Self {
            platform,
            row,
            session,
        })
    }

    /// What it takes on its disk, indexes included.
    pub(super) async fn bytes(&self) -> Result<u64, Failed> {
        let sql = "SELECT pg_database_size(current_database())";
        let row = self
            .session
            .client
            .query_one(sql, &[])
            .await
            .map_err(|error| failed(&error))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Writes it into the draft. `instance` has the tools and is on the app's network.
    pub(super) async fn dump(
        &self,
        instance: InstanceId,
        mut draft: Draft,
    ) -> Result<(Written, Vec<TableRows>), Failed> {
        let client = &self.session.client;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client
            .batch_execute(begin)
            .await
            .map_err(|error| failed(&error))?;
        let exported = client.query_one("SELECT pg_export_snapshot()", &[]).await;
        let snapshot: String = exported.map_err(|error| failed(&error))?.get(0);
        self.give_authority(instance).await?;
        let counting = async {
            let row = client
                .query_one(counts::QUESTION, &[])
                .await
                .map_err(|error| failed(&error))?;
            counts::read(row.get(0))
        };
        let dumping = self.tool(instance, &snapshot).run(Input::Nothing, &mut draft);
        let (tables, ()) = tokio::try_join!(counting, dumping)?;
        Ok((draft.finish().await?, tables))
    }

    async fn give_authority(&self, instance: InstanceId) -> Result<(), Failed> {
        let certificate = self.platform.databases.authority.certificate().to_owned();
        let tool = Tool {
            engine: &*self.platform.engine,
            instance,
            argv: vec!["/usr/bin/tee".into(), AUTHORITY.into()],
            env: BTreeMap::new(),
            failure: BackupFailure::Platform,
        };
        tool.run(Input::Text(certificate), &mut Answer::default()).await
    }

    fn tool(&self, instance: InstanceId, snapshot: &str) -> Tool<'a> {
        let argv = vec![
            program(self.row, "pg_dump"),
            "--format=custom".into(),
            compression(&self.row.version).into(),
            format!("--snapshot={snapshot}"),
            format!("--lock-wait-timeout={LOCK_WAIT}"),
            "--no-password".into(),
        ];
        let env = [
            ("PGHOST", self.row.name.as_str()),
            ("PGPORT", "5432"),
            ("PGUSER", postgres::ADMIN),
            ("PGPASSWORD", &self.row.admin_password),
            ("PGDATABASE", &self.row.database_name),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", AUTHORITY),
            ("PGCONNECT_TIMEOUT", "10"),
            ("PGAPPNAME", "mainstay backup"),
        ];
        Tool {
            engine: &*self.platform.engine,
            instance,
            argv,
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            failure: BackupFailure::Dump,
        }
    }
}

/// Zstandard is in PostgreSQL's archives from version 16 on; a low level of the older one costs a quarter of the time for a tenth more bytes.
fn compression(version: &str) -> &'static str {
    match version.parse::<u32>() {
        Ok(version) if version >= 16 => "--compress=zstd:3",
        _ => "--compress=2",
    }
}

/// A query that the database's server did not answer well.
fn failed(error: &tokio_postgres::Error) -> Failed {
    Failed::new(BackupFailure::Dump, trouble(error).message)
}

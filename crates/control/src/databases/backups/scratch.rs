//! A server of its own, on a volume of its own, that nobody reaches: what was taken of a database is restored into it, and counted.
//!
//! The app's own role restores what is its own: what an archive makes a server run, it runs with that role's rights.

use std::{collections::BTreeMap, time::Duration};

use mainstay_diagnosis::facts::{StopReason, Termination};
use mainstay_images::stack::USER_ID;
use mainstay_spec::ids::InstanceId;
use mainstay_store::{BackupFailure, DatabaseRow, TableRows};
use postgres_protocol::password::scram_sha_256;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        keeper::run_to_end,
        postgres::{self, program, quoted},
        volume,
    },
    counts,
    failure::Failed,
    file::Stored,
    instances::{Ground, SOCKETS, ScratchVolume},
    tool::{Answer, Input, Tool},
    traces::Traces,
};
use crate::platform::Platform;

/// Writing a checkpoint of all that was restored.
const STOPS_WITHIN: Duration = Duration::from_mins(5);
const STARTS_WITHIN: Duration = Duration::from_mins(2);
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// It runs, and has the app's role and an empty database.
pub(super) struct Scratch<'a> {
    platform: &'a Platform,
    row: &'a DatabaseRow,
    instance: InstanceId,
}

impl<'a> Scratch<'a> {
    /// All that is made is noted in `traces`.
    pub(super) async fn start(
        platform: &'a Platform,
        ground: &Ground<'a>,
        place: &ScratchVolume,
        traces: &Traces,
    ) -> Result<Self, Failed> {
        let row = ground.place.row;
        traces.add_file(&place.image.with_extension(volume::DRAFT));
        traces.add_file(&place.image);
        volume::make(&place.image, place.id, row.volume_bytes, USER_ID).await?;
        let initialize = ground.initialize(traces.new_instance(), place);
        if let Err(trouble) = run_to_end(platform, initialize).await? {
            let message = format!("no scratch server could be made: {}", trouble.message);
            return Err(Failed::new(BackupFailure::Restore, message));
        }
        let instance = traces.new_instance();
        platform.engine.start(ground.serve(instance, place)).await?;
        let scratch = Self {
            platform,
            row,
            instance,
        };
        scratch.ready().await?;
        scratch.provide().await?;
        Ok(scratch)
    }

    async fn ready(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let asked = self.tool("pg_isready", postgres::ADMIN, postgres::ADMIN_DATABASE, &[]);
            match asked.run(Input::Nothing, &mut Answer::default()).await {
                Ok(()) => return Ok(()),
                Err(failed) if Instant::now() > deadline => return Err(failed),
                Err(failed) if failed.kind == BackupFailure::Platform => return Err(failed),
                Err(_) => sleep(ASKED_EVERY).await,
            }
        }
    }

    /// The roles with the passwords that they have, as verifiers; and the app's database.
    async fn provide(&self) -> Result<(), Failed> {
        let verifier = |password: &str| scram_sha_256(password.as_bytes());
        let (user, name) = (quoted(&self.row.user), quoted(&self.row.database_name));
        let mut sql = format!(
            "ALTER ROLE {} PASSWORD '{}';\n",
            postgres::ADMIN,
            verifier(&self.row.admin_password)
        );
        if self.row.user != postgres::ADMIN {
            let verifier = verifier(&self.row.password);
            sql.push_str(&format!("CREATE ROLE {user} LOGIN PASSWORD '{verifier}';\n"));
        }
        if self.row.database_name != postgres::ADMIN_DATABASE {
            sql.push_str(&format!("CREATE DATABASE {name} OWNER {user};\n"));
        }
        self.query(postgres::ADMIN_DATABASE, sql).await.map(drop)
    }

    pub(super) async fn restore(&self, file: Stored) -> Result<(), Failed> {
        let arguments = ["--exit-on-error", "--no-password"];
        let tool = self.tool("pg_restore", &self.row.user, &self.row.database_name, &arguments);
        tool.run(Input::File(Box::new(file)), &mut Answer::default())
            .await
    }

    /// Whether it has what was there.
    pub(super) async fn compare(&self, wanted: &[TableRows]) -> Result<(), Failed> {
        let sql = format!("SET search_path = pg_catalog;\n{};\n", counts::QUESTION);
        let answer = self.query(&self.row.database_name, sql).await?;
        counts::compare(wanted, &counts::read(&answer)?)
    }

    /// As the platform's own role.
    async fn query(&self, database: &str, sql: String) -> Result<String, Failed> {
        let arguments = [
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
        ];
        let mut answer = Answer::default();
        let tool = self.tool("psql", postgres::ADMIN, database, &arguments);
        tool.run(Input::Text(sql), &mut answer).await?;
        Ok(answer.text())
    }

    fn tool(&self, name: &str, user: &str, database: &str, arguments: &[&str]) -> Tool<'_> {
        let mut argv = vec![
            program(self.row, name),
            format!("--host={SOCKETS}"),
            format!("--username={user}"),
            format!("--dbname={database}"),
        ];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Tool {
            engine: &*self.platform.engine,
            instance: self.instance,
            argv,
            env: BTreeMap::new(),
            failure: BackupFailure::Restore,
        }
    }
    /// What planning queries goes by: a new volume has none of it.
    pub(super) async fn analyze(&self) -> Result<(), Failed> {
        self.query(&self.row.database_name, "ANALYZE;\n".to_owned())
            .await
            .map(drop)
    }

    /// What the server calls its data.
    pub(super) async fn system_identifier(&self) -> Result<String, Failed> {
        let sql = "SELECT system_identifier FROM pg_catalog.pg_control_system();\n".to_owned();
        let answer = self.query(postgres::ADMIN_DATABASE, sql).await?;
        Ok(answer.trim().to_owned())
    }

    /// Everything is on the volume then, as of a server that was told to end.
    pub(super) async fn stop(self) -> Result<(), Failed> {
        let engine = &self.platform.engine;
        let exit = engine
            .stop(self.instance, StopReason::Requested, STOPS_WITHIN)
            .await?;
        let ended_well = exit.termination == Some(Termination::Exited { code: 0 });
        engine.remove(self.instance).await?;
        engine.forget(self.instance).await?;
        if ended_well {
            Ok(())
        } else {
            Err(Failed::new(
                BackupFailure::Restore,
                "the scratch server did not end well",
            ))
        }
    }
}

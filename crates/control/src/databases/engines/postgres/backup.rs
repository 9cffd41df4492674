//! Backups of PostgreSQL: its own archive, written by `pg_dump` of an exported snapshot, in which the rows of every table are counted too.
//!
//! The app's own role restores what is its own: what an archive makes a server run, it runs with that role's rights.

use async_trait::async_trait;
use mainstay_store::{BackupFailure, DatabaseRow, TableRows};
use postgres_protocol::password::scram_sha_256;

use super::{
    ADMIN, ADMIN_DATABASE, DATA, Postgres, new_cluster, program, quoted,
    session::{Session, trouble},
};
use crate::databases::{
    backups::{AUTHORITY, Answer, Draft, Failed, Input, SOCKETS, Scratch, Source, Stored, Tool, Written},
    engines::Backup,
    login::Login,
};

/// Somebody who holds a table that long without letting others read it is in the way.
const LOCK_WAIT: &str = "60s";
/// What sessions are told first: an owner of a database may set these for whoever comes. `search_path` decides what names mean.
const GUARD: &str = "SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = '60s'; \
                     SET idle_in_transaction_session_timeout = 0; SET row_security = off";

/// One text: a list of [`TableRows`]. Every name is qualified, for a search path may be anybody's. Left out is what a dump leaves out: what
/// belongs to extensions, and temporary tables; and materialized views, which are computed anew. Large objects are counted as one table.
const COUNTS: &str = "\
SELECT coalesce(json_agg(json_build_object('schema', counted.schema, 'name', counted.name, 'rows', counted.rows)), '[]')::text
FROM (
    SELECT n.nspname::text AS schema, c.relname::text AS name, (pg_catalog.xpath('/row/c/text()',
        pg_catalog.query_to_xml(pg_catalog.format('SELECT pg_catalog.count(*) AS c FROM ONLY %I.%I', n.nspname, c.relname),
            false, true, '')))[1]::text::bigint AS rows
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'pg_catalog', 'pg_largeobject_metadata', pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata
) counted";

#[async_trait]
impl Backup for Postgres {
    async fn bytes(&self, login: &Login<'_>) -> Result<u64, Failed> {
        let session = open(login).await?;
        let size = answer(&session, "SELECT pg_database_size(current_database())::text").await?;
        Ok(size.parse().unwrap_or(0))
    }

    async fn dump(&self, source: &Source<'_>, mut draft: Draft) -> Result<(Written, Vec<TableRows>), Failed> {
        let session = open(&source.login).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let begun = session.client.batch_execute(begin).await;
        begun.map_err(|error| failed(&error))?;
        let snapshot = answer(&session, "SELECT pg_export_snapshot()").await?;
        let counting = async { read(&answer(&session, COUNTS).await?) };
        let dumping = dump_tool(source, &snapshot).run(Input::Nothing, &mut draft);
        let (tables, ()) = tokio::try_join!(counting, dumping)?;
        Ok((draft.finish().await?, tables))
    }

    async fn restore(&self, scratch: &mut Scratch<'_>, file: Stored) -> Result<(), Failed> {
        let row = scratch.row();
        // Whoever is inside may log in.
        scratch.run(new_cluster(row, &["--auth=trust".into()])).await?;
        scratch.serve(serve(scratch)).await?;
        scratch
            .ready(|| tool(scratch, "pg_isready", ADMIN, ADMIN_DATABASE, &[]))
            .await?;
        query(scratch, ADMIN_DATABASE, roles_and_database(row)).await?;
        let arguments = ["--exit-on-error", "--no-password"];
        tool(scratch, "pg_restore", &row.user, &row.database_name, &arguments)
            .run(Input::File(Box::new(file)), &mut Answer::default())
            .await
    }

    async fn count(&self, scratch: &Scratch<'_>) -> Result<Vec<TableRows>, Failed> {
        let sql = format!("SET search_path = pg_catalog;\n{COUNTS};\n");
        read(&query(scratch, &scratch.row().database_name, sql).await?)
    }

    /// What planning queries goes by: a new volume has none of it.
    async fn complete(&self, scratch: &Scratch<'_>) -> Result<String, Failed> {
        query(scratch, &scratch.row().database_name, "ANALYZE;\n".to_owned()).await?;
        let sql = "SELECT system_identifier FROM pg_catalog.pg_control_system();\n".to_owned();
        let answer = query(scratch, ADMIN_DATABASE, sql).await?;
        Ok(answer.trim().to_owned())
    }
}

async fn open(login: &Login<'_>) -> Result<Session, Failed> {
    let session = Session::open(login).await?;
    let guarded = session.client.batch_execute(GUARD).await;
    guarded.map_err(|error| failed(&error))?;
    Ok(session)
}

/// The one value of the one row of the answer.
async fn answer(session: &Session, sql: &str) -> Result<String, Failed> {
    let row = session.client.query_one(sql, &[]).await;
    Ok(row.map_err(|error| failed(&error))?.get(0))
}

/// A query that the database's server did not answer well.
fn failed(error: &tokio_postgres::Error) -> Failed {
    Failed::new(BackupFailure::Dump, trouble(error).message)
}

fn dump_tool<'a>(source: &Source<'a>, snapshot: &str) -> Tool<'a> {
    let (row, login) = (source.row, &source.login);
    let argv = vec![
        program(row, "pg_dump"),
        "--format=custom".into(),
        compression(&row.version).into(),
        format!("--snapshot={snapshot}"),
        format!("--lock-wait-timeout={LOCK_WAIT}"),
        "--no-password".into(),
    ];
    let port = login.address.port().to_string();
    source.tool(argv).with_env(&[
        ("PGHOST", login.host),
        ("PGPORT", &port),
        ("PGUSER", login.user),
        ("PGPASSWORD", login.password),
        ("PGDATABASE", login.database),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", AUTHORITY),
        ("PGCONNECT_TIMEOUT", "10"),
        ("PGAPPNAME", "mainstay backup"),
    ])
}

/// Zstandard is in PostgreSQL's archives from version 16 on; a low level of the older one costs a quarter of the time for a tenth more bytes.
fn compression(version: &str) -> &'static str {
    match version.parse::<u32>() {
        Ok(version) if version >= 16 => "--compress=zstd:3",
        _ => "--compress=2",
    }
}

/// Serves what is on the volume over its socket alone.
fn serve(scratch: &Scratch<'_>) -> Vec<String> {
    let memory_mib = scratch.memory_bytes() >> 20;
    let always = [
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories={SOCKETS}"),
        format!("shared_buffers={}MB", memory_mib / 4),
        format!("maintenance_work_mem={}MB", memory_mib / 8),
        "max_connections=10".to_owned(),
        "max_wal_size=1GB".to_owned(),
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
        "jit=off".to_owned(),
        "log_min_error_statement=panic".to_owned(),
    ];
    let careless = ["fsync=off", "full_page_writes=off", "autovacuum=off"].map(str::to_owned);
    let careless = careless.into_iter().filter(|_| !scratch.is_durable());
    let mut argv = vec![program(scratch.row(), "postgres"), "-D".into(), DATA.into()];
    for setting in always.into_iter().chain(careless) {
        argv.extend(["-c".into(), setting]);
    }
    argv
}

/// The roles with the passwords that they have, as verifiers; and the app's database.
fn roles_and_database(row: &DatabaseRow) -> String {
    let verifier = |password: &str| scram_sha_256(password.as_bytes());
    let (user, name) = (quoted(&row.user), quoted(&row.database_name));
    let mut sql = format!(
        "ALTER ROLE {ADMIN} PASSWORD '{}';\n",
        verifier(&row.admin_password)
    );
    if row.user != ADMIN {
        let verifier = verifier(&row.password);
        sql.push_str(&format!("CREATE ROLE {user} LOGIN PASSWORD '{verifier}';\n"));
    }
    if row.database_name != ADMIN_DATABASE {
        sql.push_str(&format!("CREATE DATABASE {name} OWNER {user};\n"));
    }
    sql
}

/// As the platform's own role.
async fn query(scratch: &Scratch<'_>, database: &str, sql: String) -> Result<String, Failed> {
    let arguments = [
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
    ];
    let mut answer = Answer::default();
    tool(scratch, "psql", ADMIN, database, &arguments)
        .run(Input::Text(sql), &mut answer)
        .await?;
    Ok(answer.text())
}

fn tool<'a>(scratch: &Scratch<'a>, name: &str, user: &str, database: &str, arguments: &[&str]) -> Tool<'a> {
    let mut argv = vec![
        program(scratch.row(), name),
        format!("--host={SOCKETS}"),
        format!("--username={user}"),
        format!("--dbname={database}"),
    ];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    scratch.tool(argv)
}

/// Reads the answer to [`COUNTS`].
fn read(answer: &str) -> Result<Vec<TableRows>, Failed> {
    serde_json::from_str(answer.trim()).map_err(|_| Failed::not_understood("the counts of rows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read() {
        let answer = r#"[{"schema":"public","name":"b","rows":1}]"#;
        let [table] = &read(answer).unwrap()[..] else {
            panic!("one table")
        };
        assert_eq!((table.name.as_str(), table.rows), ("b", 1));
        assert_eq!(read("psql: nonsense").unwrap_err().kind, BackupFailure::Platform);
    }
}

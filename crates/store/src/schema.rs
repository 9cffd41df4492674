//! The tables, as a list of migrations that is only ever appended to.

use sqlx::{Connection, Executor, Row, SqliteConnection, sqlite::SqliteRow};

use crate::StoreError;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    ) STRICT;

    CREATE TABLE apps (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        spec TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        active_deployment TEXT,
        deleting INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE deployments (
        id TEXT PRIMARY KEY,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        spec TEXT NOT NULL,
        cause TEXT NOT NULL,
        cause_kind TEXT NOT NULL,
        previous TEXT,
        force_build INTEGER NOT NULL,
        pinned_sources TEXT NOT NULL,
        phase TEXT NOT NULL,
        settled INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        UNIQUE (app, number)
    ) STRICT;
    CREATE INDEX deployments_unsettled ON deployments (app) WHERE settled = 0;

    CREATE TABLE deployment_events (
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        at TEXT NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (deployment, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE builds (
        id TEXT PRIMARY KEY,
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        component TEXT NOT NULL,
        source TEXT NOT NULL,
        output TEXT,
        facts TEXT,
        created_at TEXT NOT NULL,
        UNIQUE (deployment, component)
    ) STRICT;

    CREATE TABLE instances (
        id TEXT PRIMARY KEY,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        component TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        removed INTEGER NOT NULL DEFAULT 0,
        exit TEXT
    ) STRICT;
    CREATE INDEX instances_of_deployment ON instances (deployment);
    CREATE INDEX instances_present ON instances (app) WHERE removed = 0;

    CREATE TABLE reasons (
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        component TEXT NOT NULL,
        stage TEXT NOT NULL,
        reason TEXT NOT NULL,
        observed_at TEXT NOT NULL,
        resolved_at TEXT,
        PRIMARY KEY (deployment, component, stage)
    ) STRICT, WITHOUT ROWID;
    ",
    // When a deployment began to serve, and which start of its slot an instance is: neither may change when other rows are forgotten.
    "
    ALTER TABLE deployments ADD COLUMN activated_at TEXT;
    UPDATE deployments SET activated_at = (
        SELECT min(at) FROM deployment_events
        WHERE deployment = deployments.id AND json_extract(event, '$.event') = 'routes_switched'
    );

    ALTER TABLE instances ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
    UPDATE instances SET restarts = (
        SELECT count(*) FROM instances AS earlier
        WHERE earlier.deployment = instances.deployment AND earlier.component = instances.component
          AND earlier.ordinal = instances.ordinal
          AND (earlier.created_at, earlier.id) < (instances.created_at, instances.id)
    );
    ",
    // What happened to instances while their deployment served.
    "
    CREATE TABLE instance_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        component TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        instance TEXT,
        at TEXT NOT NULL,
        event TEXT NOT NULL
    ) STRICT;
    CREATE INDEX instance_events_of_app ON instance_events (app, id);
    CREATE INDEX instance_events_of_deployment ON instance_events (deployment);
    ",
    // Runs of jobs. `occasion` is what may give rise to one run only: a deployment, or a time of a schedule.
    "
    CREATE TABLE job_invocations (
        id TEXT PRIMARY KEY,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        job TEXT NOT NULL,
        trigger TEXT NOT NULL,
        occasion TEXT,
        due_at TEXT,
        phase TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        completed_at TEXT,
        reason TEXT,
        UNIQUE (app, job, occasion)
    ) STRICT;
    CREATE INDEX job_invocations_open ON job_invocations (app) WHERE completed_at IS NULL;

    ALTER TABLE instances ADD COLUMN invocation TEXT;
    CREATE INDEX instances_of_invocation ON instances (invocation) WHERE invocation IS NOT NULL;
    ",
    // The app is not deleted before its databases are: nothing cascades here.
    "
    CREATE TABLE databases (
        id TEXT PRIMARY KEY,
        app TEXT NOT NULL REFERENCES apps (id),
        name TEXT NOT NULL,
        engine TEXT NOT NULL,
        version TEXT NOT NULL,
        database_name TEXT NOT NULL,
        user TEXT NOT NULL,
        password TEXT NOT NULL,
        admin_password TEXT NOT NULL,
        image TEXT,
        volume_bytes INTEGER NOT NULL,
        volume_made INTEGER NOT NULL DEFAULT 0,
        system_identifier TEXT,
        instance TEXT,
        created_at TEXT NOT NULL,
        UNIQUE (app, name)
    ) STRICT;
    ",
    // Going back: whose images a deployment uses again, and the rollback that an app stays at until somebody says how to go on.
    "
    ALTER TABLE deployments ADD COLUMN cloned_from TEXT;
    ALTER TABLE apps ADD COLUMN pinned_deployment TEXT;
    ",
    // Where alerts go; the alerts themselves are in the specs.
    "
    CREATE TABLE alert_destinations (
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        alert TEXT NOT NULL,
        destinations TEXT NOT NULL,
        PRIMARY KEY (app, alert)
    ) STRICT, WITHOUT ROWID;
    ",
    // Tokens that may do less than everything; and who changed what. The first token of an older server could do everything.
    "
    ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'admin';
    ALTER TABLE tokens ADD COLUMN app TEXT;
    ALTER TABLE tokens ADD COLUMN expires_at TEXT;
    ALTER TABLE tokens ADD COLUMN last_used_at TEXT;
    ALTER TABLE tokens ADD COLUMN revoked_at TEXT;

    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        token TEXT NOT NULL,
        token_name TEXT NOT NULL,
        action TEXT NOT NULL,
        app TEXT,
        status INTEGER NOT NULL,
        origin TEXT NOT NULL
    ) STRICT;
    ",
    // What each app takes of the account's limits.
    "
    CREATE TABLE app_usage (
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        resource TEXT NOT NULL,
        amount INTEGER NOT NULL,
        PRIMARY KEY (app, resource)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX app_usage_of_resource ON app_usage (resource, app, amount);
    ",
    // Registry credentials are in the specs, sealed, and nowhere else.
    "
    UPDATE builds SET source = json_remove(source, '$.source.credentials') WHERE json_extract(source, '$.source.source') = 'image';
    ",
    // Why a run was skipped, or begun late.
    "
    ALTER TABLE job_invocations ADD COLUMN note TEXT;
    ",
    // The components that a restart gives new instances; the others' go on.
    "
    ALTER TABLE deployments ADD COLUMN restarts TEXT;
    ",
    // A page of the apps, how many there are, and what goes with a deleted app or deployment, without looking at all there is.
    "
    CREATE INDEX apps_listed ON apps (created_at, id) WHERE deleting = 0;
    CREATE INDEX instances_of_app ON instances (app);
    CREATE INDEX job_invocations_of_deployment ON job_invocations (deployment);

    CREATE TABLE app_count (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), listed INTEGER NOT NULL) STRICT;
    INSERT INTO app_count SELECT 1, count(*) FROM apps WHERE deleting = 0;
    CREATE TRIGGER app_listed AFTER INSERT ON apps WHEN new.deleting = 0 BEGIN
        UPDATE app_count SET listed = listed + 1 WHERE only_row = 1;
    END;
    CREATE TRIGGER app_relisted AFTER UPDATE OF deleting ON apps WHEN new.deleting <> old.deleting BEGIN
        UPDATE app_count SET listed = listed + old.deleting - new.deleting WHERE only_row = 1;
    END;
    CREATE TRIGGER app_gone AFTER DELETE ON apps WHEN old.deleting = 0 BEGIN
        UPDATE app_count SET listed = listed - 1 WHERE only_row = 1;
    END;
    ",
    // Database servers of others, that apps attach to.
    "
    CREATE TABLE clusters (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        engine TEXT NOT NULL,
        version TEXT NOT NULL,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        user TEXT NOT NULL,
        password TEXT NOT NULL,
        database TEXT NOT NULL,
        ca_certificate TEXT NOT NULL,
        tls INTEGER NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    ",
    // Who may be attached to one, without looking at all there is.
    "
    CREATE INDEX apps_with_clusters ON apps (id) WHERE instr(spec, 'cluster_name') > 0;
    CREATE INDEX deployments_with_clusters ON deployments (app) WHERE instr(spec, 'cluster_name') > 0;
    ",
    // What somebody wants to hear of is noted in the moment in which it happens; what is still to be sent, and how the last sending went.
    "
    ALTER TABLE alert_destinations ADD COLUMN outcome TEXT;

    CREATE TABLE alert_occurrences (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        deployment TEXT NOT NULL,
        component TEXT NOT NULL,
        invocation TEXT,
        rule TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alert_occurrences_of_app ON alert_occurrences (app);
    CREATE TRIGGER deployment_started AFTER INSERT ON deployments
    WHEN EXISTS (SELECT 1 FROM alert_destinations WHERE app = new.app) BEGIN
        INSERT INTO alert_occurrences (app, deployment, component, rule, at)
        VALUES (new.app, new.id, '', 'DEPLOYMENT_STARTED', new.created_at);
    END;
    CREATE TRIGGER deployment_ended AFTER UPDATE OF phase ON deployments
    WHEN new.phase <> old.phase AND new.phase IN ('active', 'failed', 'canceled')
        AND EXISTS (SELECT 1 FROM alert_destinations WHERE app = new.app) BEGIN
        INSERT INTO alert_occurrences (app, deployment, component, rule, at)
        VALUES (new.app, new.id, '', CASE new.phase
            WHEN 'active' THEN 'DEPLOYMENT_LIVE' WHEN 'failed' THEN 'DEPLOYMENT_FAILED' ELSE 'DEPLOYMENT_CANCELED' END, new.updated_at);
    END;
    CREATE TRIGGER invocation_failed AFTER UPDATE OF phase ON job_invocations
    WHEN new.phase <> old.phase AND new.phase = 'failed'
        AND EXISTS (SELECT 1 FROM alert_destinations WHERE app = new.app) BEGIN
        INSERT INTO alert_occurrences (app, deployment, component, invocation, rule, at)
        VALUES (new.app, new.deployment, new.job, new.id, 'JOB_INVOCATION_FAILED', coalesce(new.completed_at, new.created_at));
    END;

    CREATE TABLE alert_deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        alert TEXT NOT NULL,
        target TEXT NOT NULL,
        message TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at_ms INTEGER NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alert_deliveries_of_app ON alert_deliveries (app);
    CREATE INDEX alert_deliveries_due ON alert_deliveries (due_at_ms);
    ",
    // Backups of the databases that the platform runs; their files are beside.
    "
    CREATE TABLE backups (
        id TEXT PRIMARY KEY,
        database TEXT NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
        cause TEXT NOT NULL,
        state TEXT NOT NULL,
        failure TEXT,
        message TEXT NOT NULL DEFAULT '',
        bytes INTEGER,
        sha256 TEXT,
        tables TEXT NOT NULL DEFAULT '[]',
        created_at TEXT NOT NULL,
        finished_at TEXT
    ) STRICT;
    CREATE INDEX backups_of_database ON backups (database, created_at);
    ",
    // Restores; and which file a database's volume is, with the one before it as long as that is needed.
    "
    ALTER TABLE databases ADD COLUMN volume_file TEXT NOT NULL DEFAULT 'volume.img';
    ALTER TABLE databases ADD COLUMN replaced_volume TEXT;
    ALTER TABLE databases ADD COLUMN replaced_identifier TEXT;

    CREATE TABLE restores (
        id TEXT PRIMARY KEY,
        database TEXT NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
        backup TEXT NOT NULL,
        state TEXT NOT NULL,
        failure TEXT,
        message TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        finished_at TEXT
    ) STRICT;
    CREATE INDEX restores_of_database ON restores (database, created_at);
    ",
    // Accounts and their users. All that there was belongs to the first account, and each token to its first user. Names are an account's own,
    // which the tables that had them for everybody are made anew for.
    include_str!("../migrations/accounts.sql"),
    // What visitors of apps were sent on a day, in UTC.
    "
    CREATE TABLE app_traffic (
        day TEXT NOT NULL,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (day, app)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX app_traffic_of_app ON app_traffic (app);
    ",
    // How much of their sizes instances use, in hundredths of a percent, and how often they were restarted, in seconds since 1970: each look for a
    // day, then means.
    "
    CREATE TABLE sample_series (
        id INTEGER PRIMARY KEY,
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        component TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        UNIQUE (app, component, ordinal)
    ) STRICT;
    CREATE TABLE samples (
        series INTEGER NOT NULL REFERENCES sample_series (id) ON DELETE CASCADE,
        at INTEGER NOT NULL,
        cpu INTEGER,
        memory INTEGER,
        restarts INTEGER NOT NULL,
        PRIMARY KEY (series, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sample_means (
        series INTEGER NOT NULL REFERENCES sample_series (id) ON DELETE CASCADE,
        at INTEGER NOT NULL,
        cpu INTEGER,
        memory INTEGER,
        restarts INTEGER NOT NULL,
        PRIMARY KEY (series, at)
    ) STRICT, WITHOUT ROWID;
    ",
    // What an alert about it was told of: what was measured, and whether it holds; and those that still do.
    "
    ALTER TABLE alert_occurrences ADD COLUMN alert TEXT;
    ALTER TABLE alert_occurrences ADD COLUMN measured REAL;
    ALTER TABLE alert_occurrences ADD COLUMN holds INTEGER;
    CREATE TABLE holding_alerts (
        app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
        alert TEXT NOT NULL,
        since TEXT NOT NULL,
        PRIMARY KEY (app, alert)
    ) STRICT, WITHOUT ROWID;
    ",
];

/// Brings the schema to this version's; a newer one than ours is refused.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let row: SqliteRow = sqlx::query("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::during("read the schema version"))?;
    let version = usize::try_from(row.get::<i64, _>(0)).unwrap_or(0);
    if version > MIGRATIONS.len() {
        let newer = format!(
            "schema version {version} is newer than this program's {}",
            MIGRATIONS.len()
        );
        return Err(StoreError::Damaged {
            what: "schema",
            id: "the database".into(),
            source: newer.into(),
        });
    }
    // A table that is made anew is dropped in between: those that refer to it must not notice.
    refer(connection, false).await?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let mut transaction = connection
            .begin()
            .await
            .map_err(StoreError::during("begin a migration"))?;
        let operation = format!("migrate to schema version {}", index + 1);
        transaction
            .execute(sqlx::raw_sql(*migration))
            .await
            .map_err(StoreError::during(operation.clone()))?;
        let stamp = format!("PRAGMA user_version = {}", index + 1);
        transaction
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)))
            .await
            .map_err(StoreError::during(operation.clone()))?;
        transaction
            .commit()
            .await
            .map_err(StoreError::during(operation))?;
    }
    refer(connection, true).await
}

/// Whether references between tables count. Nothing changes within a transaction.
async fn refer(connection: &mut SqliteConnection, counts: bool) -> Result<(), StoreError> {
    let statement = if counts {
        "PRAGMA foreign_keys = ON"
    } else {
        "PRAGMA foreign_keys = OFF"
    };
    let set = connection.execute(statement).await;
    set.map_err(StoreError::during("set whether references count"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mainstay_spec::ids::{AccountId, UserId};
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::Store;

    const APP: &str = "00000000-0000-0000-0000-00000000000a";
    const DEPLOYMENT: &str = "00000000-0000-0000-0000-00000000000d";
    const SERVED_AT: &str = "2026-01-01T00:00:05Z";

    async fn connect(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn execute(connection: &mut SqliteConnection, sql: String) {
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))
            .await
            .unwrap();
    }

    /// A database as the first version left it: an app that serves, and a place where an instance was started twice.
    async fn first_version(path: &Path) {
        let mut connection = connect(path).await;
        execute(&mut connection, MIGRATIONS[0].to_owned()).await;
        let spec = r#"{"name":"shop"}"#;
        let rows = format!(
            r#"
            INSERT INTO apps VALUES ('{APP}', 'shop', '{spec}', '{SERVED_AT}', '{SERVED_AT}', '{DEPLOYMENT}', 0);
            INSERT INTO deployments VALUES
                ('{DEPLOYMENT}', '{APP}', 1, '{spec}', 'manual', 'MANUAL', NULL, 0, '{{}}', 'active', 1, '{SERVED_AT}', '{SERVED_AT}');
            INSERT INTO deployment_events VALUES
                ('{DEPLOYMENT}', 0, '2026-01-01T00:00:01Z', '{{"event":"turn_came"}}'),
                ('{DEPLOYMENT}', 1, '{SERVED_AT}', '{{"event":"routes_switched"}}');
            INSERT INTO instances VALUES
                ('00000000-0000-0000-0000-000000000001', '{APP}', '{DEPLOYMENT}', 'web', 0, '2026-01-01T00:00:02Z', 1, NULL),
                ('00000000-0000-0000-0000-000000000002', '{APP}', '{DEPLOYMENT}', 'web', 0, '2026-01-01T00:00:03Z', 0, NULL);
            INSERT INTO tokens VALUES ('t', 'first start', 'hash', '{SERVED_AT}');
            PRAGMA user_version = 1;
            "#
        );
        execute(&mut connection, rows).await;
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_the_first_version_stored_is_read_by_this_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.db");
        first_version(&path).await;
        let store = Store::open(&path).await.unwrap();
        let app = store.app(APP.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((app.name.as_str(), app.spec.name.as_str()), ("shop", "shop"));
        let deployment = app.active_deployment.unwrap();
        assert_eq!(deployment.to_string(), DEPLOYMENT);
        assert!(store.deployment(deployment).await.unwrap().is_some());
        assert_eq!(store.events(deployment).await.unwrap().len(), 2);
        let instances = store.instances_of_deployment(deployment).await.unwrap();
        let restarts: Vec<u32> = instances.iter().map(|instance| instance.restarts).collect();
        assert_eq!(restarts, [0, 1], "counted from what was there");
        let row = sqlx::query("SELECT activated_at FROM deployments")
            .fetch_one(&store.readers)
            .await
            .unwrap();
        assert_eq!(row.get::<&str, _>(0), SERVED_AT, "read off its events");
        assert_eq!(app.account, AccountId::FIRST, "whose all is that there was");
        let (listed, total) = store.apps(AccountId::FIRST, 0, 10).await.unwrap();
        assert_eq!((listed.len(), total), (1, 1));
        let (token, user) = store.token_by_hash("hash").await.unwrap().unwrap();
        assert_eq!(
            (token.scope.as_str(), user.id, user.account),
            ("admin", UserId::FIRST, AccountId::FIRST)
        );
        let broken = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(&store.readers)
            .await
            .unwrap();
        assert!(
            broken.is_empty(),
            "what refers to the tables that were made anew still does"
        );
        let counts: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
            .fetch_one(&store.writer)
            .await
            .unwrap();
        assert_eq!(counts, 1);
        store.close().await;
        // A second start changes nothing.
        Store::open(&path).await.unwrap().close().await;
    }

    #[tokio::test]
    async fn a_newer_programs_database_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new.db");
        Store::open(&path).await.unwrap().close().await;
        let newer = MIGRATIONS.len() + 1;
        execute(
            &mut connect(&path).await,
            format!("PRAGMA user_version = {newer}"),
        )
        .await;
        let error = Store::open(&path).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.contains(&format!("schema version {newer} is newer")),
            "{source}"
        );
    }
}

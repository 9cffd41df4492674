//! How SQLite would answer each statement of this crate: nothing that somebody waits for may look at all apps or all deployments.

use std::{fs, path::Path};

use sqlx::Row;

use crate::Store;

/// Tables that grow with the platform.
const LARGE: [&str; 11] = [
    "apps",
    "deployments",
    "deployment_events",
    "builds",
    "instances",
    "reasons",
    "instance_events",
    "job_invocations",
    "app_traffic",
    "samples",
    "sample_means",
];

/// Statements that are about everything there is: of a start, of housekeeping, and of what the machine has room for.
const ABOUT_ALL: [&str; 8] = [
    "SELECT id FROM apps ORDER BY created_at, id",
    "SELECT * FROM apps ORDER BY created_at, id",
    "SELECT id FROM apps ORDER BY id",
    "SELECT id, spec FROM apps WHERE id NOT IN (SELECT app FROM app_usage)",
    "SELECT id, active_deployment FROM apps WHERE active_deployment IS NOT NULL AND deleting = 0",
    "SELECT app, deployment, component, count(*) AS count FROM instances WHERE removed = 0 AND exit IS NULL GROUP BY app, deployment, component",
    "SELECT id, deployment FROM builds",
    "SELECT id, deployment, component, ordinal, restarts, removed FROM instances ORDER BY deployment, component, ordinal, restarts",
];

/// Files with statements that are put together from parts: of one app or database, of housekeeping, and of sealing what an old server stored.
const COMPOSED: [&str; 4] = ["databases.rs", "invocations.rs", "keeping.rs", "sealing.rs"];

/// Indexes of the few that a statement is about: to walk such a one is no look at all there is.
const OF_FEW: [&str; 2] = ["apps_with_clusters", "deployments_with_clusters"];

/// Every statement in the sources, on one line each.
fn statements() -> Vec<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "plan_tests.rs" || name == "schema.rs" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for call in ["sqlx::query(", "sqlx::query_scalar("] {
            for after in text.split(call).skip(1) {
                let quoted = after.trim_start().strip_prefix('"');
                match quoted.and_then(|quoted| quoted.split_once('"')) {
                    Some((statement, _)) => found.push(on_one_line(statement)),
                    None => assert!(
                        COMPOSED.contains(&name.as_str()),
                        "{name}: a statement that cannot be read here"
                    ),
                }
            }
        }
    }
    found
}

fn on_one_line(statement: &str) -> String {
    let statement = statement.replace("\\\n", "");
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of `EXPLAIN QUERY PLAN`.
async fn plan(store: &Store, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
        .fetch_all(&store.readers)
        .await;
    let rows = rows.unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.iter().map(|row| row.get("detail")).collect()
}

/// What is wrong with a plan. A page may walk an index in its order, as far as the page goes.
fn objection(statement: &str, plan: &[String]) -> Option<String> {
    let is_page = statement.contains(" LIMIT ") && !plan.iter().any(|line| line.contains("TEMP B-TREE"));
    let walks_all = |line: &&String| {
        let table = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        let of_few = OF_FEW.iter().any(|index| line.ends_with(index));
        table.is_some_and(|table| LARGE.contains(&table)) && !of_few && !(is_page && line.contains(" USING "))
    };
    plan.iter().find(walks_all).cloned()
}

#[tokio::test]
async fn no_operation_looks_at_all_apps_or_deployments() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    let statements = statements();
    assert!(
        statements.len() > 60,
        "{} statements were found",
        statements.len()
    );
    let mut wrong = Vec::new();
    for statement in &statements {
        if ABOUT_ALL.contains(&statement.as_str()) {
            continue;
        }
        let plan = plan(&store, statement).await;
        wrong.extend(objection(statement, &plan).map(|line| format!("{statement}: {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_scan_would_be_seen() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    for statement in [
        "SELECT count(*) FROM apps WHERE name = 'shop'",
        "SELECT * FROM deployments ORDER BY created_at LIMIT 1",
        "SELECT * FROM deployments WHERE phase = 'active'",
    ] {
        let plan = plan(&store, statement).await;
        assert!(objection(statement, &plan).is_some(), "{statement}: {plan:?}");
    }
}

//! Backups of a PostgreSQL that are not good, each for a reason that an app or its disk gives. The good one before stays, and nothing of the
//! red one does.

use std::{fs, path::PathBuf, time::Duration};

use mainstay_e2e::{Platform, wait_until};
use serde_json::Value;

use crate::backups::{
    backup, expect_no_traces, failed, files, find, flip_a_bit, good_backup, list, sql, teller,
};

const SEEN_WITHIN: Duration = Duration::from_secs(30);
const DEPLOYS_WITHIN: Duration = Duration::from_mins(5);
/// What these backups take to be on their disk, several times over; trying them never ends.
const SHORT_TIME: &str = "[databases.backups]\ntime_seconds = 15\n";

/// Makes one that fails, and returns what is said of it.
fn expect_red(platform: &Platform, app: &str, why: &str, good: &Value) -> Value {
    let before = instances(platform);
    let failed = failed(&backup(platform, app, &[]), why);
    assert_eq!(find(platform, app, &good["id"])["state"], "GOOD");
    assert_eq!(files(platform), [file_of(platform, good)]);
    expect_no_traces(platform);
    let mut left = instances(platform);
    left.retain(|instance| !before.contains(instance));
    assert!(left.is_empty(), "instances are left: {left:?}");
    let shown = platform.text(&["databases", "get", "db", "--app", app]);
    expect_told(&shown.stdout, why);
    failed
}

/// That the newest is red, and what there is to go back to.
fn expect_told(text: &str, why: &str) {
    assert!(
        text.contains(&format!("FAILED ({why})")) && text.contains("the last good one is of 20"),
        "{text}"
    );
}

/// Nobody looks for backups: whoever deploys is told.
fn a_deploy_warns(platform: &Platform, app: &str, why: &str) {
    let folder = teller(app).on_disk();
    let folder = folder.path().display().to_string();
    for arguments in [
        &["deploy", &folder][..],
        &["apps", "create-deployment", app, "--wait"],
    ] {
        let deployed = platform.cli(arguments, DEPLOYS_WITHIN);
        assert!(deployed.is_success(), "{}", deployed.stderr);
        assert!(
            deployed.stderr.contains("warning: last backup of database db"),
            "{arguments:?}: {}",
            deployed.stderr
        );
        expect_told(&deployed.stderr, why);
    }
}

/// What the engine knows of instances, ended ones too.
fn instances(platform: &Platform) -> Vec<PathBuf> {
    let known = fs::read_dir(platform.data_dir().join("engine/instances")).expect("our own directory");
    known.flatten().map(|entry| entry.path()).collect()
}

fn file_of(platform: &Platform, backup: &Value) -> PathBuf {
    let name = format!("{}.dump", backup["id"].as_str().unwrap_or_default());
    let found = files(platform).into_iter().find(|file| file.ends_with(&name));
    found.expect("it has a file")
}

/// Its table is restored before the one that its check looks into: `pg_dump` writes what `pg_restore` cannot read.
pub(crate) fn what_cannot_be_restored(platform: &Platform, app: &str, good: &Value) {
    sql(
        platform,
        app,
        "CREATE FUNCTION is_known(n bigint) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.entries WHERE id = n)';
         CREATE TABLE before_entries (id bigint CHECK (is_known(id)));
         INSERT INTO before_entries VALUES (1)",
    );
    let failed = expect_red(platform, app, "RESTORE", good);
    let message = failed["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("violates check constraint") && !message.contains("CONTEXT"),
        "{message}"
    );
    sql(platform, app, "DROP TABLE before_entries");
}

/// Its check writes down what it saw, and sees everything again while it is restored.
pub(crate) fn what_counts_otherwise_once_restored(platform: &Platform, app: &str, good: &Value) {
    sql(
        platform,
        app,
        "CREATE TABLE seen (n int);
         CREATE FUNCTION notes(n int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (n); RETURN true; END';
         CREATE TABLE noted (n int CHECK (notes(n)));
         INSERT INTO noted VALUES (1), (2)",
    );
    let failed = expect_red(platform, app, "COUNTS_DIFFER", good);
    assert_eq!(
        failed["message"],
        "restored it differs: public.seen had 2 rows and has 4 rows"
    );
    a_deploy_warns(platform, app, "COUNTS_DIFFER");
    sql(platform, app, "DROP TABLE noted");
}

/// Its check takes an hour since it was changed: the time is over while the backup is being tried.
pub(crate) fn what_takes_too_long(platform: &mut Platform, app: &str, good: &Value) {
    sql(
        platform,
        app,
        "CREATE FUNCTION is_fine_at_last(n int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
         CREATE TABLE patient (n int CHECK (is_fine_at_last(n)));
         INSERT INTO patient VALUES (1);
         CREATE OR REPLACE FUNCTION is_fine_at_last(n int) RETURNS bool LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_sleep(3600); RETURN true; END'",
    );
    platform.restart_with(SHORT_TIME);
    let failed = expect_red(platform, app, "TIME_LIMIT", good);
    assert_eq!(failed["message"], "it took longer than 15 s");
    assert!(
        failed["size_bytes"].as_u64() > Some(0),
        "it was not tried: {failed}"
    );
    platform.restart_with("");
    sql(platform, app, "DROP TABLE patient");
}

pub(crate) fn what_was_damaged(platform: &Platform, app: &str, backup: &Value) {
    flip_a_bit(&file_of(platform, backup));
    let second = good_backup(platform, app);
    let is_red = || {
        let first = find(platform, app, &backup["id"]);
        first["state"] == "FAILED" && first["failure"] == "CHECKSUM"
    };
    assert!(wait_until(SEEN_WITHIN, is_red), "{:?}", list(platform, app));
    let told = platform.text(&["databases", "backups", "list", "db", "--app", app]);
    assert!(told.stdout.contains("checksum differs"), "{}", told.stdout);
    // A missing one is seen by whoever looks.
    fs::remove_file(file_of(platform, &second)).expect("our own file");
    assert_eq!(find(platform, app, &second["id"])["failure"], "FILE_MISSING");
}

//! Backups of databases that the platform runs: tried before they are called good, and red with a reason where they are not.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mainstay_e2e::{Answer, Folder, Page, Platform, python_hello, wait_until};
use serde_json::{Value, json};

use crate::red_backups;

const BACKED_UP_WITHIN: Duration = Duration::from_mins(30);
/// As the database's server is called inside its instance.
const SERVER: &str = "/usr/lib/postgresql/";
/// How much data is backed up and restored, in MiB.
const SIZE: &str = "MAINSTAY_BACKUP_MIB";
const SIZE_USUALLY: u64 = 16;
const PIECE_MIB: u64 = 4;
const SUMMED_MIB: u64 = 32;
const ROWS_PER_MIB: u64 = 920;
const RECOVERS_WITHIN: Duration = Duration::from_mins(1);
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// How a server ends in the middle.
type End = fn(&mut Platform);

/// Does what it is told in SQL, and answers with the rows, one on a line.
const TELLER: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, "ready")

    def do_POST(self):
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
                cursor = connection.execute(sql)
                rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            return self.answer(500, str(error))
        self.answer(200, "\n".join("|".join(map(str, row)) for row in rows))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

pub(crate) fn teller(app: &str) -> Folder {
    let mut folder = python_hello(app, "ready")
        .with("requirements.txt", "psycopg[binary]==3.2.3\n")
        .with("server.py", TELLER);
    folder.spec["databases"] = json!([{ "name": "db", "engine": "PG" }]);
    folder
}

pub(crate) fn sql(platform: &Platform, app: &str, statements: &str) -> String {
    let page = platform.post(app, "/", statements);
    let page = page.unwrap_or_else(|error| panic!("{app} does not answer: {error}"));
    assert_eq!(page.status, 200, "{statements}: {}", page.text);
    body(&page).to_owned()
}

/// Without the headers.
pub(crate) fn body(page: &Page) -> &str {
    page.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Something of everything that an app's own role can make.
const CONTENT: &str = r#"
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);
INSERT INTO entries (text) SELECT 'entry ' || i FROM generate_series(1, 1000) i;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION hstore;
COMMENT ON EXTENSION hstore IS 'ours';
CREATE SCHEMA "Odd ""schema";
CREATE TABLE "Odd ""schema"."a; DROP" (h public.hstore, d bytea);
INSERT INTO "Odd ""schema"."a; DROP" VALUES ('a => 1', digest('x', 'sha256')), (NULL, NULL);
CREATE TABLE parts (at date NOT NULL, n int) PARTITION BY RANGE (at);
CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
INSERT INTO parts SELECT '2019-12-25'::date + i, i FROM generate_series(1, 30) i;
CREATE FUNCTION is_fine(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN n > 0; END';
CREATE TABLE checked (n int CHECK (is_fine(n)), twice int GENERATED ALWAYS AS (n * 2) STORED);
INSERT INTO checked VALUES (1), (2);
CREATE TABLE guarded (owner text);
INSERT INTO guarded VALUES ('somebody else'), ('db');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM entries;
CREATE VIEW newest AS SELECT max(id) AS id FROM entries;
SELECT lo_from_bytea(0, 'a large object');
CREATE UNLOGGED TABLE scrap AS SELECT 1 AS n;
"#;
/// Of its tables, the large object among them.
const CONTENT_ROWS: u64 = 1000 + 2 + 30 + 2 + 2 + 1 + 1;

pub(crate) fn backup(platform: &Platform, app: &str, more: &[&str]) -> Answer {
    let command = ["--output", "json", "databases", "backup", "db", "--app", app];
    platform.cli(&[&command[..], more].concat(), BACKED_UP_WITHIN)
}

/// A backup or a restore that is red, and why.
pub(crate) fn failed(made: &Answer, why: &str) -> Value {
    let failed: Value = serde_json::from_str(&made.stdout).unwrap_or_default();
    assert_eq!(
        (made.is_success(), &failed["state"], &failed["failure"]),
        (false, &json!("FAILED"), &json!(why)),
        "{}",
        made.stdout
    );
    failed
}

pub(crate) fn good_backup(platform: &Platform, app: &str) -> Value {
    let made = backup(platform, app, &[]);
    let backup: Value = serde_json::from_str(&made.stdout).unwrap_or_default();
    assert!(
        made.is_success() && backup["state"] == "GOOD",
        "{}\n{}\n{}",
        made.stdout,
        made.stderr,
        platform.server_log()
    );
    backup
}

pub(crate) fn list(platform: &Platform, app: &str) -> Vec<Value> {
    let listed = platform.json(&["databases", "backups", "list", "db", "--app", app]);
    serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{}{}", listed.stdout, listed.stderr))
}

pub(crate) fn find(platform: &Platform, app: &str, id: &Value) -> Value {
    let found = list(platform, app).into_iter().find(|backup| backup["id"] == *id);
    found.expect("it is listed")
}

/// Every file of backups.
pub(crate) fn files(platform: &Platform) -> Vec<PathBuf> {
    files_below(&platform.data_dir().join("backups"))
}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files = Vec::new();
    for entry in entries {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// What a backup makes beside its file.
fn traces(platform: &Platform) -> Vec<String> {
    let is_scratch = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("scratch-")
    };
    let volumes = files_below(&platform.data_dir().join("databases"))
        .into_iter()
        .filter(is_scratch)
        .map(|path| path.display().to_string());
    let processes = [
        "/usr/bin/sleep ",
        "/usr/bin/timeout ",
        "initdb",
        "pg_dump",
        "pg_restore",
        "/usr/bin/mariadb",
        "/usr/bin/redis-cli",
        "/usr/bin/dd ",
    ];
    let processes = processes.iter().flat_map(|words| platform.commands_with(words));
    volumes.chain(processes).collect()
}

pub(crate) fn expect_no_traces(platform: &Platform) {
    assert!(
        wait_until(SEEN_WITHIN, || traces(platform).is_empty()),
        "left behind: {:?}",
        traces(platform)
    );
}

pub(crate) fn a_backup_is_tried_before_it_is_called_good(platform: &mut Platform) {
    const APP: &str = "keeper";
    platform.deploy_active(&teller(APP));
    sql(platform, APP, CONTENT);
    let first = good_backup(platform, APP);
    assert_eq!(first["rows"], CONTENT_ROWS, "{first}");
    expect_no_traces(platform);
    for file in files(platform) {
        let mode = |path: &Path| fs::metadata(path).expect("our own").permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert_eq!(mode(file.parent().expect("it has one")), 0o700);
    }
    let shown = platform.text(&["databases", "list", "--app", APP]);
    assert!(shown.stdout.contains("GOOD"), "{}", shown.stdout);

    begun_ones_exclude_others_and_are_over_after_a_kill(platform, APP);
    red_backups::what_cannot_be_restored(platform, APP, &first);
    red_backups::what_counts_otherwise_once_restored(platform, APP, &first);
    red_backups::what_takes_too_long(platform, APP, &first);
    red_backups::what_was_damaged(platform, APP, &first);
    platform.delete(APP);
    expect_no_files(platform);
    expect_no_traces(platform);
}

pub(crate) fn expect_no_files(platform: &Platform) {
    assert!(
        wait_until(SEEN_WITHIN, || files(platform).is_empty()),
        "{:?}",
        files(platform)
    );
}

fn begun_ones_exclude_others_and_are_over_after_a_kill(platform: &mut Platform, app: &str) {
    let ends: [(&str, End); 3] = [
        ("RUNNING", Platform::kill_server),
        ("VERIFYING", Platform::kill_server),
        ("VERIFYING", Platform::stop_server),
    ];
    let passwords = admin_passwords(platform);
    for (state, end) in ends {
        let begun = backup(platform, app, &["--no-wait"]).expect_success("mainstay databases backup");
        let begun: Value = serde_json::from_str(&begun.stdout).expect("a backup");
        let second = backup(platform, app, &[]);
        assert!(
            !second.is_success() && second.stdout.contains("under way"),
            "{}",
            second.stdout
        );
        let reached = || find(platform, app, &begun["id"])["state"] == state;
        assert!(
            wait_until(SEEN_WITHIN, reached),
            "{}",
            find(platform, app, &begun["id"])
        );
        let mut told = platform.tellers(&passwords);
        told.retain(|teller| teller != "environ of pg_dump");
        assert!(told.is_empty(), "the platform's password is told: {told:?}");
        end(platform);
        platform.start_server();
        let over = find(platform, app, &begun["id"]);
        assert_eq!(
            (&over["state"], &over["failure"]),
            (&json!("FAILED"), &json!("INTERRUPTED")),
            "{over}"
        );
        expect_no_traces(platform);
        assert_eq!(files(platform).len(), 1, "{:?}", files(platform));
    }
    nothing_tells(platform, app, &passwords);
}

/// Of the platform's own users at the databases that there are.
pub(crate) fn admin_passwords(platform: &Platform) -> Vec<String> {
    let passwords = platform.admin_passwords();
    assert!(!passwords.is_empty(), "there is no database");
    assert!(
        passwords.iter().all(|password| password.len() >= 32),
        "it is too short"
    );
    passwords
}

/// No log, no answer, and no file of an instance, ended ones included.
pub(crate) fn nothing_tells(platform: &Platform, app: &str, passwords: &[String]) {
    let said = [
        &["databases", "list", "--app", app][..],
        &["databases", "backups", "list", "db", "--app", app],
        &["databases", "restores", "db", "--app", app],
        &["databases", "logs", "db", "--app", app],
        &["audit"],
    ];
    let answers = said
        .map(|command| platform.json(command))
        .map(|answer| answer.stdout + &answer.stderr);
    for text in answers.iter().chain([&platform.server_log()]) {
        assert!(!text.is_empty());
        let tells = passwords.iter().any(|password| text.contains(password));
        assert!(!tells, "{text}");
    }
    let files = platform.instance_files_with(passwords);
    assert!(files.is_empty(), "{files:?}");
}

pub(crate) fn flip_a_bit(file: &Path) {
    let opened = fs::File::options().write(true).read(true).open(file);
    let opened = opened.expect("our own file");
    let middle = opened.metadata().expect("our own file").len() / 2;
    let mut byte = [0];
    opened.read_exact_at(&mut byte, middle).expect("our own file");
    opened.write_all_at(&[byte[0] ^ 1], middle).expect("our own file");
}

/// All that the app sees of [`CONTENT`], and of its entries.
const DIGEST: &str = r#"
SELECT 'entries', count(*), md5(string_agg(id || text, ',' ORDER BY id)) FROM entries
UNION ALL SELECT 'odd', count(*), md5(string_agg(h::text || d::text, ',' ORDER BY d)) FROM "Odd ""schema"."a; DROP"
UNION ALL SELECT 'parts', count(*), md5(string_agg(at::text || n, ',' ORDER BY at)) FROM parts
UNION ALL SELECT 'parts_old', count(*), md5(string_agg(at::text || n, ',' ORDER BY at)) FROM parts_old
UNION ALL SELECT 'checked', count(*), md5(string_agg(n::text || twice, ',' ORDER BY n)) FROM checked
UNION ALL SELECT 'guarded', count(*), md5(string_agg(owner, ',' ORDER BY owner)) FROM guarded
UNION ALL SELECT 'sums', count(*), md5(string_agg(n::text, ',')) FROM sums
UNION ALL SELECT 'newest', count(*), md5(string_agg(id::text, ',')) FROM newest
UNION ALL SELECT 'large', count(*), md5(string_agg(convert_from(lo_get(oid), 'utf8'), ',')) FROM pg_largeobject_metadata
"#;

/// Everything that the app sees. The bulk in pieces, for a visitor does not wait long.
fn digest(platform: &Platform, app: &str, mib: u64) -> Vec<String> {
    let of_bulk = |piece: u64| {
        let from = piece * SUMMED_MIB * ROWS_PER_MIB;
        let sums = format!(
            "SELECT count(*), sum(hashtextextended(words, id)), sum(hashtextextended(encode(numbers, 'hex'), id)) \
             FROM bulk WHERE id > {from} AND id <= {}",
            from + SUMMED_MIB * ROWS_PER_MIB
        );
        sql(platform, app, &sums)
    };
    let bulk = (0..mib.div_ceil(SUMMED_MIB)).map(of_bulk);
    [sql(platform, app, DIGEST)].into_iter().chain(bulk).collect()
}

/// Rows of half words, which pack well, and half random bytes, which do not.
fn insert_bulk(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO bulk SELECT i, repeat(md5(i::text) || ' ', 16), decode((
             SELECT string_agg(md5((i * 100 + k)::text), '') FROM generate_series(1, 32) k), 'hex')
         FROM generate_series({from} + 1, {to}) i"
    )
}

pub(crate) fn a_database_is_restored_from_a_backup(platform: &mut Platform) {
    const APP: &str = "restorer";
    let mib = std::env::var(SIZE).ok().and_then(|text| text.parse().ok());
    let mib = mib.unwrap_or(SIZE_USUALLY);
    platform.deploy_active(&teller(APP));
    sql(platform, APP, CONTENT);
    // In pieces: a request may take a minute.
    sql(
        platform,
        APP,
        "CREATE TABLE bulk (id bigint PRIMARY KEY, words text, numbers bytea)",
    );
    for piece in 0..mib.div_ceil(PIECE_MIB) {
        let from = piece * PIECE_MIB * ROWS_PER_MIB;
        sql(platform, APP, &insert_bulk(from, from + PIECE_MIB * ROWS_PER_MIB));
    }
    let before = digest(platform, APP, mib);
    let bytes = sql(platform, APP, "SELECT pg_database_size(current_database())");
    let started = Instant::now();
    let backup = good_backup(platform, APP);
    eprintln!(
        "a database of {bytes} bytes: its backup of {} bytes was good after {:.1} s",
        backup["size_bytes"],
        started.elapsed().as_secs_f64()
    );

    change(platform, APP);
    let changed = sql(platform, APP, "SELECT count(*) FROM entries");
    let unconfirmed = restore(platform, APP, "latest", &[]);
    assert!(
        !unconfirmed.is_success() && unconfirmed.stdout.contains("--replace-data"),
        "{}",
        unconfirmed.stdout
    );
    assert_eq!(sql(platform, APP, "SELECT count(*) FROM entries"), changed);

    let started = Instant::now();
    let restored = restore(platform, APP, "latest", &["--replace-data"]);
    assert!(
        restored.is_success(),
        "{}{}",
        restored.stdout,
        platform.server_log()
    );
    eprintln!("it was restored after {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(digest(platform, APP, mib), before);
    sql(platform, APP, "INSERT INTO entries (text) VALUES ('after')");
    only_one_volume_is_left(platform);

    // The server starts on it as on any volume.
    platform.kill_apps(SERVER);
    expect_rows(platform, APP, "1001");
    a_killed_restore_ends_in_the_old_or_the_new_data(platform, APP, &backup);
    a_lost_volume_is_restored(platform, APP);
    a_damaged_backup_is_not_restored(platform, APP);
    platform.delete(APP);
    expect_no_files(platform);
}

fn change(platform: &Platform, app: &str) {
    sql(
        platform,
        app,
        "DELETE FROM entries WHERE id > 10; DROP TABLE checked; UPDATE parts SET n = 0; CREATE TABLE new (n int); TRUNCATE bulk",
    );
}

pub(crate) fn restore(platform: &Platform, app: &str, backup: &str, more: &[&str]) -> Answer {
    let command = [
        "--output",
        "json",
        "databases",
        "restore",
        "db",
        backup,
        "--app",
        app,
    ];
    platform.cli(&[&command[..], more].concat(), BACKED_UP_WITHIN)
}

fn restores(platform: &Platform, app: &str) -> Vec<Value> {
    let listed = platform.json(&["databases", "restores", "db", "--app", app]);
    serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{}{}", listed.stdout, listed.stderr))
}

pub(crate) fn only_one_volume_is_left(platform: &Platform) {
    let volumes = || {
        let mut files = files_below(&platform.data_dir().join("databases"));
        files.retain(|path| path.extension().is_some_and(|extension| extension == "img"));
        files
    };
    assert!(
        wait_until(SEEN_WITHIN, || volumes().len() == 1),
        "{:?}",
        volumes()
    );
    expect_no_traces(platform);
}

/// Once its server is there again.
fn expect_rows(platform: &Platform, app: &str, rows: &str) {
    let mut last = String::new();
    let right = wait_until(RECOVERS_WITHIN, || {
        let page = platform.post(app, "/", "SELECT count(*) FROM entries");
        last = page.map_or_else(|error| error.to_string(), |page| body(&page).to_owned());
        last == rows
    });
    assert!(right, "{last}\n{}", platform.server_log());
}

fn a_killed_restore_ends_in_the_old_or_the_new_data(platform: &mut Platform, app: &str, backup: &Value) {
    let id = backup["id"].as_str().expect("it has an id");
    for (state, over, rows) in [("RESTORING", "FAILED", "10"), ("SWITCHING", "DONE", "1000")] {
        sql(platform, app, "DELETE FROM entries WHERE id > 10");
        let begun = restore(platform, app, id, &["--replace-data", "--no-wait"]);
        assert!(begun.is_success(), "{}", begun.stdout);
        let newest = || restores(platform, app).remove(0);
        let reached = || newest()["state"] == state;
        assert!(wait_until(BACKED_UP_WITHIN, reached), "{}", newest());
        platform.kill_server();
        platform.start_server();
        let newest = restores(platform, app).remove(0);
        assert_eq!(newest["state"], over, "{newest}");
        assert_ne!(newest["message"], "", "{newest}");
        expect_rows(platform, app, rows);
        only_one_volume_is_left(platform);
    }
}

fn a_lost_volume_is_restored(platform: &Platform, app: &str) {
    let volume = files_below(&platform.data_dir().join("databases"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "img"))
        .expect("it has one");
    fs::remove_file(&volume).expect("our own file");
    platform.kill_apps(SERVER);
    let is_missed = || platform.server_log().contains("its volume is missing");
    assert!(
        wait_until(RECOVERS_WITHIN, is_missed),
        "{}",
        platform.server_log()
    );
    let restored = restore(platform, app, "latest", &["--replace-data"]);
    assert!(
        restored.is_success(),
        "{}{}",
        restored.stdout,
        platform.server_log()
    );
    expect_rows(platform, app, "1000");
    only_one_volume_is_left(platform);
}

fn a_damaged_backup_is_not_restored(platform: &Platform, app: &str) {
    sql(platform, app, "DELETE FROM entries WHERE id > 20");
    let file = files(platform).pop().expect("there is one");
    flip_a_bit(&file);
    let refused = restore(platform, app, "latest", &["--replace-data"]);
    failed(&refused, "CHECKSUM");
    assert_eq!(list(platform, app)[0]["failure"], "CHECKSUM");
    expect_rows(platform, app, "20");
    let again = restore(platform, app, "latest", &["--replace-data"]);
    assert!(
        again.stdout.contains("there is no good backup"),
        "{}",
        again.stdout
    );
}

//! Backups of databases that the platform runs: tried before they are called good, and red with a reason where they are not.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use mainstay_e2e::{Answer, Folder, Platform, python_hello, wait_until};
use serde_json::{Value, json};

const BACKED_UP_WITHIN: Duration = Duration::from_mins(5);
const SEEN_WITHIN: Duration = Duration::from_secs(30);

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

fn teller(app: &str) -> Folder {
    let mut folder = python_hello(app, "ready")
        .with("requirements.txt", "psycopg[binary]==3.2.3\n")
        .with("server.py", TELLER);
    folder.spec["databases"] = json!([{ "name": "db", "engine": "PG" }]);
    folder
}

fn sql(platform: &Platform, app: &str, statements: &str) -> String {
    let page = platform.post(app, "/", statements);
    let page = page.unwrap_or_else(|error| panic!("{app} does not answer: {error}"));
    assert_eq!(page.status, 200, "{statements}: {}", page.text);
    page.text
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

fn backup(platform: &Platform, app: &str, more: &[&str]) -> Answer {
    let command = ["--output", "json", "databases", "backup", "db", "--app", app];
    platform.cli(&[&command[..], more].concat(), BACKED_UP_WITHIN)
}

fn good_backup(platform: &Platform, app: &str) -> Value {
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

fn list(platform: &Platform, app: &str) -> Vec<Value> {
    let listed = platform.json(&["databases", "backups", "list", "db", "--app", app]);
    serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{}{}", listed.stdout, listed.stderr))
}

fn find(platform: &Platform, app: &str, id: &Value) -> Value {
    let found = list(platform, app).into_iter().find(|backup| backup["id"] == *id);
    found.expect("it is listed")
}

/// Every file of backups.
fn files(platform: &Platform) -> Vec<PathBuf> {
    files_below(&platform.data_dir().join("backups"))
}

fn files_below(directory: &std::path::Path) -> Vec<PathBuf> {
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
    ];
    let processes = processes.iter().flat_map(|words| platform.commands_with(words));
    volumes.chain(processes).collect()
}

fn expect_no_traces(platform: &Platform) {
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
        let mode = |path: &std::path::Path| fs::metadata(path).expect("our own").permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert_eq!(mode(file.parent().expect("it has one")), 0o700);
    }
    let shown = platform.text(&["databases", "list", "--app", APP]);
    assert!(shown.stdout.contains("GOOD"), "{}", shown.stdout);

    begun_ones_exclude_others_and_are_over_after_a_kill(platform, APP);
    what_was_damaged_is_red(platform, APP, &first);
    platform.delete(APP);
    expect_no_files(platform);
    expect_no_traces(platform);
}

fn expect_no_files(platform: &Platform) {
    assert!(
        wait_until(SEEN_WITHIN, || files(platform).is_empty()),
        "{:?}",
        files(platform)
    );
}

fn begun_ones_exclude_others_and_are_over_after_a_kill(platform: &mut Platform, app: &str) {
    for state in ["RUNNING", "VERIFYING"] {
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
        platform.kill_server();
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
}

fn what_was_damaged_is_red(platform: &Platform, app: &str, backup: &Value) {
    let file = files(platform).pop().expect("there is one");
    let opened = fs::File::options()
        .write(true)
        .read(true)
        .open(&file)
        .expect("our own file");
    let middle = opened.metadata().expect("our own file").len() / 2;
    let mut byte = [0];
    opened.read_exact_at(&mut byte, middle).expect("our own file");
    opened.write_all_at(&[byte[0] ^ 1], middle).expect("our own file");
    let second = good_backup(platform, app);
    let is_red = || {
        let first = find(platform, app, &backup["id"]);
        first["state"] == "FAILED" && first["failure"] == "CHECKSUM"
    };
    assert!(wait_until(SEEN_WITHIN, is_red), "{:?}", list(platform, app));
    let told = platform.text(&["databases", "backups", "list", "db", "--app", app]);
    assert!(told.stdout.contains("checksum differs"), "{}", told.stdout);
    // A missing one is seen by whoever looks.
    let newest = file.with_file_name(format!("{}.dump", second["id"].as_str().unwrap_or_default()));
    fs::remove_file(&newest).expect("our own file");
    assert_eq!(find(platform, app, &second["id"])["failure"], "FILE_MISSING");
}

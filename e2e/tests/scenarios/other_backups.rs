//! Backups of other engines than PostgreSQL: the same promises, with what each engine has of its own.

use std::{fs, thread, time::Duration};

use mainstay_e2e::{Folder, Page, Platform, python_hello, wait_until};
use serde_json::{Value, json};

use crate::backups::{
    admin_passwords, backup, body, expect_no_files, expect_no_traces, failed, files, flip_a_bit, good_backup,
    list, nothing_tells, only_one_volume_is_left, restore,
};

const RECOVERS_WITHIN: Duration = Duration::from_mins(1);

/// What a scenario has of its own.
struct Kind {
    app: &'static str,
    engine: &'static str,
    requirements: &'static str,
    /// Python: `tell(text)`, which does what it is told and returns the answers as text.
    client: &'static str,
    /// What takes a backup, as it is called inside its instance.
    tool: &'static str,
    /// As the server is called inside its instance.
    server: &'static str,
    /// Something of everything that an app can make.
    content: &'static str,
    /// All that is seen of it.
    digest: &'static str,
    /// By schema and name: tables, and how many rows each has.
    tables: &'static [(&'static str, &'static str, u64)],
    /// Writes more, and loses some.
    change: &'static str,
}

/// Does what it is told, and answers with the answers.
const TELLER: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open("/tmp/ca.crt", "w") as authority:
    authority.write(os.environ["CA"])

CLIENT

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, "ready")

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            self.answer(200, tell(text))
        except Exception as error:
            self.answer(500, f"{type(error).__name__}: {error}")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

const MYSQL: Kind = Kind {
    app: "bookkeeper",
    engine: "MYSQL",
    requirements: "PyMySQL==1.1.1\n",
    client: r#"from urllib.parse import unquote, urlparse

import pymysql
from pymysql.constants import CLIENT

url = urlparse(os.environ["URL"])


def tell(text):
    connection = pymysql.connect(
        host=url.hostname, port=url.port, user=unquote(url.username), password=unquote(url.password),
        database=url.path[1:], ssl_ca="/tmp/ca.crt", ssl_verify_cert=True, ssl_verify_identity=True,
        autocommit=True, connect_timeout=5, client_flag=CLIENT.MULTI_STATEMENTS,
    )
    rows = []
    with connection, connection.cursor() as cursor:
        cursor.execute(text)
        rows.extend(cursor.fetchall())
        while cursor.nextset():
            rows.extend(cursor.fetchall())
    return "\n".join("|".join(map(str, row)) for row in rows)
"#,
    tool: "/usr/bin/mariadb-dump ",
    server: "/usr/sbin/mariadbd",
    content: r"
CREATE TABLE entries (id bigint AUTO_INCREMENT PRIMARY KEY, text varchar(200) NOT NULL, at timestamp DEFAULT '2026-01-02 03:04:05');
INSERT INTO entries (text) SELECT CONCAT('entry ', seq) FROM seq_1_to_1000;
INSERT INTO entries (text) VALUES ('''); (\\'), ('a\nb\0c'), ('ümläut 🙂');
CREATE TABLE `odd`` VALUES; (` (`x VALUES` int, b varbinary(20));
INSERT INTO `odd`` VALUES; (` VALUES (1, x'00ff270d0a'), (2, NULL);
CREATE TABLE nothing (n int);
CREATE TABLE large (id int PRIMARY KEY, b longblob);
INSERT INTO large SELECT seq, REPEAT(CHAR(seq), 3000000) FROM seq_1_to_3;
CREATE TABLE parts (n int) PARTITION BY HASH (n) PARTITIONS 3;
INSERT INTO parts SELECT seq FROM seq_1_to_30;
CREATE TABLE checked (n int CHECK (n > 0), twice int AS (n * 2) STORED);
INSERT INTO checked (n) VALUES (1), (2);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parents (id));
INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1);
CREATE TABLE not_in_innodb (n int) ENGINE=MyISAM;
INSERT INTO not_in_innodb VALUES (1), (2);
CREATE TABLE shows (n int) ENGINE=MERGE UNION=(not_in_innodb);
CREATE TABLE told (text varchar(200));
CREATE SEQUENCE numbers;
CREATE VIEW newest AS SELECT MAX(id) AS id FROM entries;
CREATE TRIGGER tells AFTER INSERT ON entries FOR EACH ROW BEGIN
-- don't count this
INSERT INTO `told` VALUES
(NEW.text);
END;
CREATE PROCEDURE odd_text() BEGIN SELECT 'x
DELIMITER ;
INSERT INTO `entries` VALUES
(1);
'; END;
CREATE FUNCTION twice(n int) RETURNS int DETERMINISTIC RETURN n * 2;
CREATE EVENT tomorrow ON SCHEDULE AT '2036-01-01 00:00:00' DO DELETE FROM entries;
",
    digest: r"
SELECT 'entries', COUNT(*), MD5(GROUP_CONCAT(id, text, at ORDER BY id)) FROM entries;
SELECT 'odd', `x VALUES`, HEX(b) FROM `odd`` VALUES; (` ORDER BY 2;
SELECT 'large', id, MD5(b) FROM large ORDER BY id;
SELECT 'parts', COUNT(*), SUM(n) FROM parts PARTITION (p0);
SELECT 'checked', n, twice FROM checked ORDER BY n;
SELECT 'others', (SELECT COUNT(*) FROM children), (SELECT COUNT(*) FROM not_in_innodb), (SELECT COUNT(*) FROM told);
SELECT 'newest', id, twice(4) FROM newest;
SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1;
SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE();
SELECT EVENT_NAME, EXECUTE_AT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE();
SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1;
",
    tables: &[
        ("db", "checked", 2),
        ("db", "children", 1),
        ("db", "entries", 1003),
        ("db", "large", 3),
        ("db", "not_in_innodb", 2),
        ("db", "nothing", 0),
        ("db", "odd` VALUES; (", 2),
        ("db", "parents", 1),
        ("db", "parts", 30),
        ("db", "shows", 0),
        ("db", "told", 0),
    ],
    change: "DELETE FROM entries WHERE id > 10; DROP TABLE checked; DROP PROCEDURE odd_text; UPDATE parts SET n = 0;
             INSERT INTO entries (text) VALUES ('more'); CREATE TABLE new (n int); ALTER TABLE `odd`` VALUES; (` DROP COLUMN b",
};

const REDIS: Kind = Kind {
    app: "rememberer",
    engine: "REDIS",
    requirements: "redis==5.2.1\n",
    client: r#"import shlex

import redis


def tell(text):
    connection = redis.from_url(os.environ["URL"], ssl_ca_certs="/tmp/ca.crt", decode_responses=True, single_connection_client=True)
    lines = [shlex.split(line) for line in text.strip().splitlines()]
    answers = [connection.execute_command(*(word.replace(r"\n", "\n") for word in words)) for words in lines]
    connection.close()
    return "\n".join(map(str, answers))
"#,
    tool: "/usr/bin/redis-cli -h ",
    server: "/usr/bin/redis-server",
    content: r##"
SET text "a word"
SET number 1000
RPUSH list a b c
SADD set a b 3
HSET hash field value other value
ZADD sorted 1.5 a inf b
XADD stream 1-1 field value
XADD stream 1-2 field value
XGROUP CREATE stream group 0
XREADGROUP GROUP group consumer STREAMS stream >
PFADD guess a b c
EVAL "for i = 1, 1000 do redis.call('SET', 'many:' .. i, string.rep('x', i)) redis.call('RPUSH', 'long', i) end" 0
SET stays 1 EX 1000000
FUNCTION LOAD "#!lua name=library\nredis.register_function('answer', function() return 42 end)"
SELECT 3
SET elsewhere "ümläut"
"##,
    digest: r"
GET text
LRANGE list 0 -1
SORT set ALPHA
HGET hash field
ZRANGE sorted 0 -1 WITHSCORES
XRANGE stream - +
XPENDING stream group
PFCOUNT guess
STRLEN many:1000
LLEN long
EXISTS stays more
FCALL answer 0
SELECT 3
GET elsewhere
DBSIZE
",
    tables: &[("0", "keys", 1009), ("3", "keys", 1)],
    change: r"
DEL text many:1000
SET more 1
LPUSH list before
FUNCTION DELETE library
SELECT 3
FLUSHDB
SET new 1
",
};

/// Their time is over at some moment between the backup and its being tried.
const SOON_GONE: &str = "SET soon:1 1 PX 1500\nSET soon:2 1 PX 2500\nSET soon:3 1 PX 4000\nSET soon:4 1 PX 6000\nSET soon:5 1 PX 9000";

pub(crate) fn a_mysql_database_is_restored_from_a_backup(platform: &mut Platform) {
    deploy_and_fill(platform, &MYSQL);
    let before = tell(platform, &MYSQL, MYSQL.digest);
    expect_tables(platform, &MYSQL);
    a_server_that_does_not_answer_is_told(platform, &MYSQL);
    what_cannot_be_restored_is_red(platform);
    what_is_changed_since_is_undone(platform, &MYSQL, &before);
    goes_on_as_any_other(platform, &MYSQL);
    ends(platform, &MYSQL);
}

pub(crate) fn a_redis_database_is_restored_from_a_backup(platform: &mut Platform) {
    deploy_and_fill(platform, &REDIS);
    let before = tell(platform, &REDIS, REDIS.digest);
    tell(platform, &REDIS, SOON_GONE);
    expect_tables(platform, &REDIS);
    a_server_that_does_not_answer_is_told(platform, &REDIS);
    what_is_changed_since_is_undone(platform, &REDIS, &before);
    goes_on_as_any_other(platform, &REDIS);
    ends(platform, &REDIS);
}

fn deploy_and_fill(platform: &mut Platform, kind: &Kind) {
    platform.deploy_active(&folder(kind));
    tell(platform, kind, kind.content);
}

fn folder(kind: &Kind) -> Folder {
    let envs = [("URL", "DATABASE_URL"), ("CA", "CA_CERT")]
        .map(|(key, variable)| json!({ "key": key, "value": format!("${{db.{variable}}}") }));
    let mut folder = python_hello(kind.app, "ready")
        .with("requirements.txt", kind.requirements)
        .with("server.py", &TELLER.replace("CLIENT\n", kind.client))
        .setting("envs", json!(envs));
    folder.spec["databases"] = json!([{ "name": "db", "engine": kind.engine }]);
    folder
}

fn ask(platform: &Platform, kind: &Kind, text: &str) -> Result<String, String> {
    let page: Page = platform
        .post(kind.app, "/", text)
        .map_err(|error| error.to_string())?;
    let answer = body(&page).to_owned();
    if page.status == 200 {
        Ok(answer)
    } else {
        Err(page.text)
    }
}

fn tell(platform: &Platform, kind: &Kind, text: &str) -> String {
    ask(platform, kind, text).unwrap_or_else(|error| panic!("{}: {text}: {error}", kind.app))
}

/// Makes a backup, which is good and has these tables, and nothing of it is left but its file.
fn expect_tables(platform: &Platform, kind: &Kind) {
    let made = backed_up_and_watched(platform, kind);
    let id = made["id"].as_str().expect("it has an id");
    let shown = platform.json(&["databases", "backups", "get", "db", id, "--app", kind.app]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("a backup");
    for (schema, name, rows) in kind.tables {
        let is_it = |table: &&Value| table["schema"] == *schema && table["name"] == *name;
        let table = shown["tables"]
            .as_array()
            .and_then(|tables| tables.iter().find(is_it));
        let found = table.map(|table| table["rows"].as_u64().unwrap_or(0));
        assert_eq!(found, Some(*rows), "{schema}.{name} of {}", shown["tables"]);
    }
    expect_no_traces(platform);
    assert_eq!(files(platform).len(), 1, "{:?}", files(platform));
}

/// Nobody on the machine can read how the tool logs in while it runs: it is neither in its arguments nor in its environment.
fn backed_up_and_watched(platform: &Platform, kind: &Kind) -> Value {
    let passwords = admin_passwords(platform);
    let (mut is_seen, mut told) = (false, Vec::new());
    let made = thread::scope(|scope| {
        let backup = scope.spawn(|| good_backup(platform, kind.app));
        while !backup.is_finished() {
            if platform.commands_with(kind.tool).is_empty() {
                continue;
            }
            // It waits until everybody was looked at.
            platform.pause_apps(kind.tool);
            told.extend(platform.tellers(&passwords));
            is_seen = true;
            platform.resume_apps(kind.tool);
        }
        backup.join()
    });
    assert!(is_seen, "{} was not seen", kind.tool);
    assert!(told.is_empty(), "the platform's password is told: {told:?}");
    made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Its server is there, and answers nobody.
fn a_server_that_does_not_answer_is_told(platform: &Platform, kind: &Kind) {
    platform.pause_apps(kind.server);
    let made = backup(platform, kind.app, &[]);
    platform.resume_apps(kind.server);
    failed(&made, "NOT_READY");
}

/// A row that its table's check does not let in again.
fn what_cannot_be_restored_is_red(platform: &Platform) {
    let (app, tell) = (MYSQL.app, |text: &str| tell(platform, &MYSQL, text));
    tell(
        "CREATE TABLE doubtful (text varchar(20) CHECK (text <> 'secret')); SET check_constraint_checks = 0; INSERT INTO doubtful VALUES ('secret')",
    );
    let failed = failed(&backup(platform, app, &[]), "RESTORE");
    let message = failed["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("ERROR 4025 (23000)") && !message.contains("secret"),
        "{message}"
    );
    assert_eq!(files(platform).len(), 1, "{:?}", files(platform));
    tell("DROP TABLE doubtful");
}

fn what_is_changed_since_is_undone(platform: &Platform, kind: &Kind, before: &str) {
    tell(platform, kind, kind.change);
    assert!(
        ask(platform, kind, kind.digest).as_deref() != Ok(before),
        "nothing changed"
    );
    expect_restored(platform, kind, before);
    only_one_volume_is_left(platform);
}

fn expect_restored(platform: &Platform, kind: &Kind, before: &str) {
    let restored = restore(platform, kind.app, "latest", &["--replace-data"]);
    assert!(
        restored.is_success(),
        "{}{}",
        restored.stdout,
        platform.server_log()
    );
    expect(platform, kind, before);
}

/// Once its server is there again.
fn expect(platform: &Platform, kind: &Kind, wanted: &str) {
    let mut last = Err(String::new());
    let right = wait_until(RECOVERS_WITHIN, || {
        last = ask(platform, kind, kind.digest);
        last.as_deref() == Ok(wanted)
    });
    assert!(right, "{last:?}\nwanted: {wanted}\n{}", platform.server_log());
}

/// The server starts on what was restored as on any volume, also after a crash; a lost volume is restored; and that has backups too.
fn goes_on_as_any_other(platform: &mut Platform, kind: &Kind) {
    let before = tell(platform, kind, kind.digest);
    platform.kill_apps(kind.server);
    expect(platform, kind, &before);
    platform.kill_server();
    platform.start_server();
    expect(platform, kind, &before);

    let databases = platform.data_dir().join("databases");
    let volume = crate::backups::files_below(&databases)
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "img"))
        .expect("it has one");
    fs::remove_file(&volume).expect("our own file");
    platform.kill_apps(kind.server);
    let is_missed = || platform.server_log().contains("its volume is missing");
    assert!(
        wait_until(RECOVERS_WITHIN, is_missed),
        "{}",
        platform.server_log()
    );
    expect_restored(platform, kind, &before);
    good_backup(platform, kind.app);
}

/// A damaged backup is not restored, and the database keeps what it has.
fn ends(platform: &mut Platform, kind: &Kind) {
    let before = tell(platform, kind, kind.digest);
    for file in files(platform) {
        flip_a_bit(&file);
    }
    let refused = restore(platform, kind.app, "latest", &["--replace-data"]);
    failed(&refused, "CHECKSUM");
    assert_eq!(list(platform, kind.app)[0]["failure"], "CHECKSUM");
    assert_eq!(tell(platform, kind, kind.digest), before);
    nothing_tells(platform, kind.app, &admin_passwords(platform));
    platform.delete(kind.app);
    expect_no_files(platform);
    expect_no_traces(platform);
}

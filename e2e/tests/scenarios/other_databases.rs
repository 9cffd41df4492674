//! Databases of other engines than PostgreSQL that the platform runs for an app: the same promises.

use std::{fs, time::Duration};

use mainstay_e2e::{Folder, Platform, python_hello, wait_until};
use serde_json::json;

use crate::databases::volumes;

const RECOVERS_WITHIN: Duration = Duration::from_mins(1);
const GOES_WITHIN: Duration = Duration::from_mins(1);

/// What a scenario has of its own.
struct Kind {
    app: &'static str,
    engine: &'static str,
    requirements: &'static str,
    /// Python: `connect()`, `add(connection, word)` and `words(connection)`.
    client: &'static str,
    /// As the server is called inside its instance.
    server: &'static str,
    /// What its log says once it runs.
    running: &'static str,
}

/// A notebook: keeps a word for each POST, shows all of them.
const NOTEBOOK: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open("/tmp/ca.crt", "w") as authority:
    authority.write(os.environ["CA"])

CLIENT
# Ready before the first component that refers to it.
words(connect())


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def work(self, task):
        try:
            self.answer(200, task(connect()))
        except Exception as error:
            self.answer(503, f"{type(error).__name__}: {error}")

    def do_GET(self):
        self.work(lambda connection: "GREETING " + " ".join(words(connection)))

    def do_POST(self):
        word = self.rfile.read(int(self.headers["Content-Length"])).decode().removeprefix("word=")
        self.work(lambda connection: (add(connection, word), "kept")[1])


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

const REDIS: Kind = Kind {
    app: "cached",
    engine: "REDIS",
    requirements: "redis==5.2.1\n",
    client: r#"import redis


def connect():
    return redis.from_url(os.environ["URL"], ssl_ca_certs="/tmp/ca.crt", decode_responses=True)


def add(connection, word):
    connection.rpush("words", word)


def words(connection):
    parts = redis.Redis(
        host=os.environ["HOST"], port=int(os.environ["PORT_OF_DB"]), username=os.environ["NAME"],
        password=os.environ["PASSWORD"], db=int(os.environ["DBNAME"]), ssl=True, ssl_ca_certs="/tmp/ca.crt",
        decode_responses=True,
    )
    assert os.environ["URL"] == os.environ["DATABASE_URL"] == os.environ["REDIS_URL"]
    return parts.lrange("words", 0, -1)
"#,
    server: "/usr/bin/redis-server",
    running: "Ready to accept connections",
};

const MYSQL: Kind = Kind {
    app: "ledger",
    engine: "MYSQL",
    requirements: "PyMySQL==1.1.1\n",
    client: r#"import pymysql
from urllib.parse import unquote, urlparse

url = urlparse(os.environ["URL"])
assert url.scheme == "mysql" and url.query == "ssl-mode=REQUIRED", url.query
assert os.environ["JDBC"].startswith("jdbc:mysql://" + url.hostname), os.environ["JDBC"]
assert os.environ["URL"] == os.environ["DATABASE_URL"]
parts = [os.environ[name] for name in ("HOST", "PORT_OF_DB", "NAME", "PASSWORD", "DBNAME")]
assert parts == [url.hostname, str(url.port), unquote(url.username), unquote(url.password), url.path[1:]]


def connect():
    return pymysql.connect(
        host=url.hostname, port=url.port, user=unquote(url.username), password=unquote(url.password),
        database=url.path[1:], ssl_ca="/tmp/ca.crt", ssl_verify_cert=True, ssl_verify_identity=True,
        autocommit=True, connect_timeout=5,
    )


def add(connection, word):
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO words (word) VALUES (%s)", (word,))


def words(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS words (id int AUTO_INCREMENT PRIMARY KEY, word text)")
        cursor.execute("SELECT word FROM words ORDER BY id")
        return [word for (word,) in cursor.fetchall()]
"#,
    server: "/usr/sbin/mariadbd",
    running: "ready for connections",
};

pub(crate) fn a_mysql_database_keeps_its_data(platform: &mut Platform) {
    keeps_its_data(platform, &MYSQL);
}

pub(crate) fn a_redis_database_keeps_its_data(platform: &mut Platform) {
    keeps_its_data(platform, &REDIS);
}

impl Kind {
    fn folder(&self, greeting: &str) -> Folder {
        let mut variables = vec![
            ("URL", "DATABASE_URL"),
            ("HOST", "HOSTNAME"),
            ("PORT_OF_DB", "PORT"),
            ("NAME", "USERNAME"),
            ("PASSWORD", "PASSWORD"),
            ("DBNAME", "DATABASE"),
            ("CA", "CA_CERT"),
        ];
        if self.engine == "REDIS" {
            variables.push(("REDIS_URL", "REDIS_URL"));
        } else {
            variables.push(("JDBC", "JDBC_DATABASE_URL"));
        }
        let envs: Vec<_> = variables
            .into_iter()
            .map(|(key, variable)| json!({ "key": key, "value": format!("${{db.{variable}}}") }))
            .collect();
        let program = NOTEBOOK
            .replace("CLIENT", self.client)
            .replace("GREETING", greeting);
        let mut folder = python_hello(self.app, greeting)
            .with("requirements.txt", self.requirements)
            .with("server.py", &program)
            .setting("envs", json!(envs));
        folder.spec["databases"] = json!([{ "name": "db", "engine": self.engine }]);
        folder
    }
}

fn keeps_its_data(platform: &mut Platform, kind: &Kind) {
    platform.deploy_active(&kind.folder("version 1"));
    add(platform, kind, "before");
    platform.deploy_active(&kind.folder("version 2"));
    platform.expect_page(kind.app, "/", "version 2 before");
    nobody_sees_the_password(platform, kind);

    platform.kill_server();
    platform.expect_page(kind.app, "/", "before");
    platform.start_server();
    platform.expect_page(kind.app, "/", "before");

    platform.kill_apps(kind.server);
    expect_recovery(platform, kind, "before");
    add(platform, kind, "between");

    platform.kill_server();
    platform.kill_shims_of(kind.server);
    platform.start_server();
    expect_recovery(platform, kind, "before between");
    another_engine_is_refused(platform, kind);
    a_lost_volume_is_not_replaced(platform, kind);
    deletion_has_to_be_confirmed(platform, kind);
}

fn add(platform: &Platform, kind: &Kind, word: &str) {
    let page = platform.post(kind.app, "/", &format!("word={word}"));
    let page = page.unwrap_or_else(|error| panic!("{} keeps nothing: {error}", kind.app));
    assert_eq!(page.status, 200, "{}", page.text);
}

fn expect_recovery(platform: &Platform, kind: &Kind, words: &str) {
    let answers = || {
        let page = platform.get(kind.app, "/");
        page.is_ok_and(|page| page.status == 200 && page.text.contains(words))
    };
    assert!(
        wait_until(RECOVERS_WITHIN, answers),
        "the database did not come back: {:?}\n{}",
        platform.get(kind.app, "/"),
        platform.server_log()
    );
}

/// It is in the app's environment, and nowhere else where anybody looks.
fn nobody_sees_the_password(platform: &Platform, kind: &Kind) {
    let password = platform
        .variable_of("server.py", "PASSWORD")
        .expect("the app has it");
    assert!(password.len() >= 32, "it is too short");
    let told = platform.commands_with(&password);
    assert!(told.is_empty(), "command lines hold the password: {told:?}");
    assert!(!platform.server_log().contains(&password));
    let shown = platform.json(&["apps", "get", kind.app]);
    assert!(!shown.stdout.contains(&password), "the API shows the password");
    let log = platform.text(&["databases", "logs", "db", "--app", kind.app]);
    assert!(
        log.stdout.contains(kind.running) && !log.stdout.contains(&password),
        "{}\n{}",
        log.stdout,
        log.stderr
    );
}

fn another_engine_is_refused(platform: &Platform, kind: &Kind) {
    let mut folder = kind.folder("never");
    folder.spec["databases"][0]["engine"] = json!("PG");
    let directory = folder.on_disk();
    let refused = platform.text(&["deploy", &directory.path().display().to_string()]);
    assert!(
        !refused.is_success()
            && refused.stderr.contains("databases[0].engine")
            && refused.stderr.contains(kind.engine),
        "{}",
        refused.stderr
    );
}

/// It says so, and goes on once the volume is back.
fn a_lost_volume_is_not_replaced(platform: &Platform, kind: &Kind) {
    let volume = volumes(platform).pop().expect("the database has a volume");
    let elsewhere = volume.with_extension("moved");
    fs::rename(&volume, &elsewhere).expect("our own file");
    platform.kill_apps(kind.server);
    let says = || platform.server_log().contains("its volume is missing");
    assert!(wait_until(RECOVERS_WITHIN, says), "{}", platform.server_log());
    assert!(!volume.exists(), "an empty volume took its place");
    fs::rename(&elsewhere, &volume).expect("our own file");
    expect_recovery(platform, kind, "before between");
}

fn deletion_has_to_be_confirmed(platform: &Platform, kind: &Kind) {
    let refused = platform.text(&["apps", "delete", kind.app, "--force"]);
    assert!(
        !refused.is_success() && refused.stderr.contains("--delete-databases"),
        "the deletion should have been refused: {}",
        refused.stderr
    );
    platform.expect_page(kind.app, "/", "before");
    platform.delete(kind.app);
    let gone = || volumes(platform).is_empty();
    assert!(
        wait_until(GOES_WITHIN, gone),
        "volumes are left: {:?}",
        volumes(platform)
    );
}

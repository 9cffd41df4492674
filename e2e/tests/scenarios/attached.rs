//! Databases that are not the platform's: registered once, attached to by name, asked with the component's own login.

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Deployment, Folder, Make, Nature, OutsideServer, PASSWORD, Platform, USER, python_hello};
use serde_json::{Value, json};

const CLUSTER: &str = "main";

/// What a scenario has of its own.
struct Kind {
    app: &'static str,
    make: Make,
    engine: &'static str,
    requirements: &'static str,
    /// Python: leaves a visit by the URL, and counts visits by the parts; over TLS, with a certificate that it looks at.
    client: &'static str,
    /// A variable that not every engine has, and how its value begins.
    own: (&'static str, &'static str),
    /// The server's own code for a wrong password.
    wrong_password: &'static str,
    /// What else a spec may ask for as `db_name`, and what it is told.
    elsewhere: &'static [(&'static str, Code, Cause, &'static [&'static str])],
}

/// Uses every variable of its database.
const TENANT: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open("/tmp/ca.crt", "w") as authority:
    authority.write(os.environ["CA"])
url, host, port, user, password, dbname = (
    os.environ[name] for name in ("URL", "HOST", "PORT_OF_DB", "USER_OF_DB", "PASSWORD", "DBNAME")
)

CLIENT
answer = f"GREETING: {visits()} visits of {user} at {host}:{port}/{dbname}"
answer += f", {os.environ['OWN'].split('//')[0]}, {os.environ.get('DATABASE_URL')}\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

const POSTGRES: Kind = Kind {
    app: "tenant",
    make: Make::Postgres(Nature::Good),
    engine: "PG",
    requirements: "psycopg[binary]==3.2.3\n",
    client: r#"import psycopg

tls = {"sslmode": "verify-full", "sslrootcert": "/tmp/ca.crt"}


def visits():
    with psycopg.connect(url, autocommit=True, **tls) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO visits DEFAULT VALUES")
    with psycopg.connect(host=host, port=port, user=user, password=password, dbname=dbname, **tls) as connection:
        return connection.execute("SELECT count(*) FROM visits").fetchone()[0]
"#,
    own: ("JDBC_DATABASE_URL", "jdbc:postgresql:"),
    wrong_password: "28P01",
    elsewhere: &[(
        "orders",
        Code::DatabaseNotFound,
        Cause::DatabaseMissing,
        &["`orders`", "`shop`"],
    )],
};

const MYSQL: Kind = Kind {
    app: "leaser",
    make: Make::Mysql,
    engine: "MYSQL",
    requirements: "PyMySQL==1.1.1\n",
    client: r#"from urllib.parse import unquote, urlparse

import pymysql

tls = {"ssl_ca": "/tmp/ca.crt", "ssl_verify_cert": True, "ssl_verify_identity": True}


def visits():
    parts = urlparse(url)
    connection = pymysql.connect(
        host=parts.hostname, port=parts.port, user=unquote(parts.username), password=unquote(parts.password),
        database=parts.path[1:], autocommit=True, **tls,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS visits (id int AUTO_INCREMENT PRIMARY KEY)")
        cursor.execute("INSERT INTO visits VALUES ()")
    connection = pymysql.connect(host=host, port=int(port), user=user, password=password, database=dbname, **tls)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM visits")
        return cursor.fetchone()[0]
"#,
    own: ("JDBC_DATABASE_URL", "jdbc:mysql:"),
    wrong_password: "1045",
    elsewhere: &[
        (
            "orders",
            Code::DatabaseNotFound,
            Cause::DatabaseMissing,
            &["`orders`", "`shop`"],
        ),
        // Of what is not theirs, users are not told whether it is there.
        (
            "another",
            Code::DatabaseNotAvailable,
            Cause::DatabasePermission,
            &["1044", "another"],
        ),
    ],
};

const REDIS: Kind = Kind {
    app: "lodger",
    make: Make::Redis,
    engine: "REDIS",
    requirements: "redis==5.2.1\n",
    client: r#"import redis

tls = {"ssl_ca_certs": "/tmp/ca.crt", "ssl_check_hostname": True}


def visits():
    redis.from_url(url, **tls).rpush("visits", "one")
    connection = redis.Redis(
        host=host, port=int(port), username=user, password=password, db=int(dbname), ssl=True, **tls
    )
    return connection.llen("visits")
"#,
    own: ("REDIS_URL", "rediss:"),
    wrong_password: "WRONGPASS",
    elsewhere: &[(
        "9",
        Code::DatabaseNotFound,
        Cause::DatabaseMissing,
        &["`9`", "`0`", "`3`"],
    )],
};

const VALKEY: Kind = Kind {
    app: "boarder",
    make: Make::Valkey,
    engine: "VALKEY",
    ..REDIS
};

pub(crate) fn a_postgresql_of_ones_own_is_attached(platform: &mut Platform) {
    is_attached(platform, &POSTGRES);
}

pub(crate) fn a_mysql_of_ones_own_is_attached(platform: &mut Platform) {
    is_attached(platform, &MYSQL);
}

pub(crate) fn a_redis_of_ones_own_is_attached(platform: &mut Platform) {
    is_attached(platform, &REDIS);
}

pub(crate) fn a_valkey_of_ones_own_is_attached(platform: &mut Platform) {
    is_attached(platform, &VALKEY);
}

impl Kind {
    fn folder(&self, greeting: &str) -> Folder {
        let variables = [
            ("URL", "DATABASE_URL"),
            ("HOST", "HOSTNAME"),
            ("PORT_OF_DB", "PORT"),
            ("USER_OF_DB", "USERNAME"),
            ("PASSWORD", "PASSWORD"),
            ("DBNAME", "DATABASE"),
            ("CA", "CA_CERT"),
            ("OWN", self.own.0),
        ];
        let envs =
            variables.map(|(key, variable)| json!({ "key": key, "value": format!("${{db.{variable}}}") }));
        let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 30 });
        let program = TENANT
            .replace("CLIENT\n", self.client)
            .replace("GREETING", greeting);
        let mut folder = python_hello(self.app, greeting)
            .with("requirements.txt", self.requirements)
            .with("server.py", &program)
            .setting("health_check", patient)
            .setting("envs", json!(envs));
        folder.spec["databases"] = json!([self.attached(CLUSTER)]);
        folder
    }

    fn attached(&self, cluster: &str) -> Value {
        json!({ "name": "db", "engine": self.engine, "production": true, "cluster_name": cluster })
    }
}

fn is_attached(platform: &mut Platform, kind: &Kind) {
    let mut server = platform.start_outside_server(0, kind.make);
    let wrong = platform.register(CLUSTER, &server, "wrong", &[]);
    assert!(
        !wrong.is_success() && wrong.stderr.contains(kind.wrong_password) && wrong.stderr.contains("login"),
        "{}",
        wrong.stderr
    );
    let _ = platform
        .register(CLUSTER, &server, PASSWORD, &[])
        .expect_success("mainstay databases register");

    an_unknown_cluster_is_refused_with_the_known_ones(platform, kind);
    platform.deploy_active(&kind.folder("version 1"));
    let (address, database) = (server.address(), kind.make.database());
    let words = format!(
        "version 1: 1 visits of {USER} at {address}/{database}, {}, None",
        kind.own.1
    );
    platform.expect_page(kind.app, "/", &words);
    nobody_sees_the_password(platform, kind);
    let kept = platform.text(&["databases", "remove", CLUSTER]);
    assert!(
        !kept.is_success() && kept.stderr.contains(kind.app),
        "{}",
        kept.stderr
    );

    what_cannot_be_used_is_told(platform, kind, &mut server);
    platform.delete(kind.app);
    let removed = platform.text(&["databases", "remove", CLUSTER]);
    let _ = removed.expect_success("mainstay databases remove");
}

/// With the layer that failed and the server's own code; the version before serves on.
fn what_cannot_be_used_is_told(platform: &Platform, kind: &Kind, server: &mut OutsideServer) {
    for (name, code, cause, words) in kind.elsewhere {
        let mut folder = kind.folder("version 2");
        folder.spec["databases"][0]["db_name"] = json!(name);
        expect_failed(&platform.deploy(&folder), (*code, *cause), words);
    }

    let changed = platform.register(
        CLUSTER,
        server,
        "changed-meanwhile",
        &["--replace", "--unchecked"],
    );
    let _ = changed.expect_success("mainstay databases register --replace");
    let failed = platform.deploy(&kind.folder("version 3"));
    let told = (Code::DatabaseNotAvailable, Cause::DatabaseAuth);
    expect_failed(&failed, told, &["refuses the login", kind.wrong_password]);
    assert!(!failed.json.to_string().contains("changed-meanwhile"), "{failed}");

    server.kill();
    let failed = platform.deploy(&kind.folder("version 4"));
    let told = (Code::DatabaseNotAvailable, Cause::DatabaseRefused);
    expect_failed(&failed, told, &["refused"]);
    platform.expect_page(kind.app, "/", "version 1");
}

fn expect_failed(failed: &Deployment, told: (Code, Cause), words: &[&str]) {
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(told.0), Some(told.1)),
        "{failed}"
    );
    for word in words {
        assert!(failed.message().contains(word), "{word}: {failed}");
    }
}

fn an_unknown_cluster_is_refused_with_the_known_ones(platform: &Platform, kind: &Kind) {
    let mut folder = kind.folder("never");
    folder.spec["databases"] = json!([kind.attached("mian")]);
    let directory = folder.on_disk();
    let refused = platform.text(&["deploy", &directory.path().display().to_string()]);
    assert!(
        !refused.is_success()
            && refused.stderr.contains("databases[0].cluster_name")
            && refused.stderr.contains("`main`"),
        "{}",
        refused.stderr
    );
}

/// It is in the app's environment, and nowhere else where anybody looks.
fn nobody_sees_the_password(platform: &Platform, kind: &Kind) {
    for command in [
        &["databases", "list"][..],
        &["databases", "get", CLUSTER],
        &["apps", "get", kind.app],
    ] {
        let shown = platform.json(command).expect_success("mainstay");
        assert!(!shown.stdout.contains(PASSWORD), "{command:?}: {}", shown.stdout);
    }
    assert!(!platform.server_log().contains(PASSWORD));
    let told = platform.commands_with(PASSWORD);
    assert!(told.is_empty(), "command lines hold the password: {told:?}");
    assert!(
        !holds(&platform.data_dir(), PASSWORD.as_bytes()),
        "the store holds the password"
    );
}

fn holds(directory: &std::path::Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(directory).expect("our own directory").flatten();
    let mut files = files.map(|entry| entry.path()).filter(|path| path.is_file());
    files.any(|path| {
        let content = std::fs::read(path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

//! Databases that are not the platform's: registered once, attached to by name, asked with the component's own login.

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{DATABASE, Folder, Nature, PASSWORD, Platform, USER, python_hello};
use serde_json::{Value, json};

const APP: &str = "tenant";

/// Uses every variable of its database, over TLS with a certificate that it looks at.
const TENANT: &str = r#"import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

with open("/tmp/ca.crt", "w") as authority:
    authority.write(os.environ["CA"])
tls = {"sslmode": "verify-full", "sslrootcert": "/tmp/ca.crt"}
with psycopg.connect(os.environ["URL"], autocommit=True, **tls) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now())")
    connection.execute("INSERT INTO visits DEFAULT VALUES")
names = {name: os.environ[name.upper()] for name in ("host", "port", "user", "password", "dbname")}
with psycopg.connect(**names, **tls) as connection:
    (count,) = connection.execute("SELECT count(*) FROM visits").fetchone()
answer = f"GREETING: {count} visits of {names['user']} at {names['host']}:{names['port']}/{names['dbname']}"
answer += f", {os.environ['JDBC'].split('//')[0]}, {os.environ.get('DATABASE_URL')}\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

fn tenant(greeting: &str, database: &Value) -> Folder {
    let variables = [
        ("URL", "DATABASE_URL"),
        ("JDBC", "JDBC_DATABASE_URL"),
        ("HOST", "HOSTNAME"),
        ("PORT", "PORT"),
        ("USER", "USERNAME"),
        ("PASSWORD", "PASSWORD"),
        ("DBNAME", "DATABASE"),
        ("CA", "CA_CERT"),
    ];
    let envs = variables.map(|(key, variable)| json!({ "key": key, "value": format!("${{db.{variable}}}") }));
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 30 });
    let mut folder = python_hello(APP, greeting)
        .with("requirements.txt", "psycopg[binary]==3.2.3\n")
        .with("server.py", &TENANT.replace("GREETING", greeting))
        .setting("health_check", patient)
        .setting("envs", json!(envs));
    folder.spec["databases"] = json!([database]);
    folder
}

fn attached(cluster: &str) -> Value {
    json!({ "name": "db", "engine": "PG", "production": true, "cluster_name": cluster })
}

pub(crate) fn a_database_of_ones_own_is_attached(platform: &mut Platform) {
    let mut server = platform.start_outside_server(0, Nature::Good);
    let wrong = platform.register("main", &server, "wrong", &[]);
    assert!(
        !wrong.is_success() && wrong.stderr.contains("28P01") && wrong.stderr.contains("login"),
        "{}",
        wrong.stderr
    );
    let _ = platform
        .register("main", &server, PASSWORD, &[])
        .expect_success("mainstay databases register");

    an_unknown_cluster_is_refused_with_the_known_ones(platform);
    platform.deploy_active(&tenant("version 1", &attached("main")));
    let address = server.address();
    let words = format!("version 1: 1 visits of {USER} at {address}/{DATABASE}, jdbc:postgresql:, None");
    platform.expect_page(APP, "/", &words);
    nobody_sees_the_password(platform);
    let kept = platform.text(&["databases", "remove", "main"]);
    assert!(!kept.is_success() && kept.stderr.contains(APP), "{}", kept.stderr);

    let mut elsewhere = attached("main");
    elsewhere["db_name"] = "orders".into();
    let failed = platform.deploy(&tenant("version 2", &elsewhere));
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(Code::DatabaseNotFound), Some(Cause::DatabaseMissing)),
        "{failed}"
    );
    assert!(
        failed.message().contains("`orders`") && failed.message().contains("`shop`"),
        "{failed}"
    );

    server.kill();
    let failed = platform.deploy(&tenant("version 3", &attached("main")));
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(Code::DatabaseNotAvailable), Some(Cause::DatabaseRefused)),
        "{failed}"
    );
    platform.expect_page(APP, "/", "version 1");
    platform.delete(APP);
    let removed = platform.text(&["databases", "remove", "main"]);
    let _ = removed.expect_success("mainstay databases remove");
}

fn an_unknown_cluster_is_refused_with_the_known_ones(platform: &Platform) {
    let folder = tenant("never", &attached("mian"));
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
fn nobody_sees_the_password(platform: &Platform) {
    for command in [
        &["databases", "list"][..],
        &["databases", "get", "main"],
        &["apps", "get", APP],
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

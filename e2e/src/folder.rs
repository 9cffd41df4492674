//! Apps as a user has them: a folder with files, and a spec in `.do/app.yaml`.

use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::run;

const GIT_WITHIN: Duration = Duration::from_secs(20);

/// The files of an app, not yet written.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Path → content and mode.
    files: BTreeMap<String, (String, u32)>,
    /// JSON is YAML, too.
    pub spec: Value,
}

impl Folder {
    /// One service `web` at `/`, with probes that decide within seconds.
    pub fn service(app: &str) -> Self {
        let probe = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 5 });
        let service = json!({
            "name": "web",
            "http_port": 8080,
            "instance_count": 1,
            "instance_size_slug": "apps-s-1vcpu-0.5gb",
            "health_check": probe,
        });
        Self {
            files: BTreeMap::new(),
            spec: json!({ "name": app, "services": [service] }),
        }
    }

    /// A static site at `/`.
    pub fn static_site(app: &str) -> Self {
        Self {
            files: BTreeMap::new(),
            spec: json!({ "name": app, "static_sites": [{ "name": "site" }] }),
        }
    }

    #[must_use]
    pub fn with(mut self, path: &str, content: &str) -> Self {
        self.write(path, content);
        self
    }

    /// Sets a field of the service.
    #[must_use]
    pub fn setting(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.set(field, value);
        self
    }

    /// The same app under another name.
    #[must_use]
    pub fn named(mut self, app: &str) -> Self {
        self.spec["name"] = app.into();
        self
    }

    pub fn write(&mut self, path: &str, content: &str) {
        self.files.insert(path.to_owned(), (content.to_owned(), 0o644));
    }

    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.spec["services"][0][field] = value.into();
    }

    pub fn name(&self) -> &str {
        self.spec["name"]
            .as_str()
            .expect("every folder's spec has a name")
    }

    /// Writes everything down. The folder goes with the guard.
    pub fn on_disk(&self) -> TempDir {
        let directory = tempfile::Builder::new()
            .prefix("mainstay-e2e-app-")
            .tempdir()
            .expect("the temporary directory is writable");
        let spec = serde_json::to_string_pretty(&self.spec).expect("a value is JSON");
        put(directory.path(), ".do/app.yaml", &spec, 0o644);
        for (path, (content, mode)) in &self.files {
            put(directory.path(), path, content, *mode);
        }
        directory
    }

    /// As a git repository with one commit on `main`, and the spec beside it that clones it by its path.
    pub fn in_git(&self) -> TempDir {
        let directory = self.on_disk();
        git(directory.path(), &["init", "--quiet", "--initial-branch", "main"]);
        git(directory.path(), &["add", "--all"]);
        let author = [
            "-c",
            "user.name=Tester",
            "-c",
            "user.email=tester@example.com",
            "-c",
            "commit.gpgsign=false",
        ];
        git(
            directory.path(),
            &[&author[..], &["commit", "--quiet", "--message", "first"]].concat(),
        );
        directory
    }
}

fn put(directory: &Path, path: &str, content: &str, mode: u32) {
    let path = directory.join(path);
    let parent = path.parent().expect("a file lies in a directory");
    fs::create_dir_all(parent).expect("the temporary directory is writable");
    fs::write(&path, content).expect("the temporary directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    let _ = run(&mut command, GIT_WITHIN).expect_success("git");
}

/// A Python app without dependencies that says `greeting`.
pub fn python_hello(app: &str, greeting: &str) -> Folder {
    let server = PYTHON_SERVER.replace("GREETING", greeting);
    Folder::service(app)
        .with("requirements.txt", "")
        .with("Procfile", "web: python3 server.py\n")
        .with("server.py", &server)
}

const PYTHON_SERVER: &str = r#"import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"GREETING\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
port = int(os.environ.get("PORT", "8080"))
print(f"listening on {port}", flush=True)
ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"#;

//! The app that is broken: Flask behind gunicorn, as its users write it.

use crate::Folder;

/// Answers with `greeting`.
pub fn healthy(app: &str, greeting: &str) -> Folder {
    Folder::service(app)
        .with("requirements.txt", "Flask==3.0.3\ngunicorn==22.0.0\n")
        .with("Procfile", "web: gunicorn --bind 0.0.0.0:8080 app:app\n")
        .with("app.py", &APP.replace("GREETING", greeting))
}

const APP: &str = r#"from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return "GREETING\n"
"#;

/// Takes more and more memory, touching every page of it.
pub(super) const HUNGRY: &str = r#"taken = []
while True:
    taken.append(bytearray(b"x") * (32 << 20))
    print(f"{len(taken) * 32} MiB taken", flush=True)
"#;

//! Flask behind gunicorn, as its users write it.

use crate::Folder;

/// Answers with `greeting`.
pub fn flask_hello(app: &str, greeting: &str) -> Folder {
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

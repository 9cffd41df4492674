//! What an app uses of its size, how often it was restarted and what it sends is measured while it serves.

use std::time::Duration;

use mainstay_e2e::{Folder, Platform, wait_until};
use serde_json::{Value, json};

const APP: &str = "measured";
/// Looks are a second apart; the machine may be busy.
const MEASURED_WITHIN: Duration = Duration::from_mins(1);
/// Of the page, as in the script.
const PAGE_BYTES: u64 = 5000;
const VISITS: u64 = 7;

/// Burns, holds or ends when it is asked to.
const SERVER: &str = r#"import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

held = []


def burn():
    while True:
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b""
        if self.path == "/burn":
            threading.Thread(target=burn, daemon=True).start()
        if self.path == "/hold":
            held.append(b"x" * (600 * 1024 * 1024))
        if self.path == "/die":
            os._exit(3)
        if self.path == "/page":
            body = b"x" * 5000
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

pub(crate) fn what_an_app_uses_and_sends_is_measured(platform: &mut Platform) {
    // The interpreter of a busy app answers late; this is not about that.
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 5, "failure_threshold": 50 });
    let folder = Folder::service(APP)
        .setting("health_check", patient)
        .setting("instance_size_slug", "apps-s-1vcpu-1gb")
        .with("requirements.txt", "")
        .with("Procfile", "web: exec python3 server.py\n")
        .with("server.py", SERVER);
    platform.deploy_active(&folder);
    let idle = await_use(platform, |used| number(&used["memory_percentage"]) > 0.0);
    assert!(number(&idle["memory_percentage"]) < 50.0, "{idle}");
    assert_eq!(
        (&idle["component"], &idle["instance"], &idle["restart_count"]),
        (&"web".into(), &"web-0".into(), &"0".into())
    );
    await_use(platform, |used| {
        used["cpu_percentage"] != "" && number(&used["cpu_percentage"]) < 20.0
    });

    visit(platform, "/burn");
    // Others want the two cores, too.
    await_use(platform, |used| number(&used["cpu_percentage"]) > 30.0);
    visit(platform, "/hold");
    await_use(platform, |used| number(&used["memory_percentage"]) > 55.0);
    // The connection may break off with the instance.
    let _ = platform.get(APP, "/die");
    await_use(platform, |used| used["restart_count"] == "1");
    await_use(platform, |used| number(&used["memory_percentage"]) < 50.0);
    sent_bytes_are_counted(platform);
    platform.delete(APP);
}

/// Neither more nor less than the pages' own.
fn sent_bytes_are_counted(platform: &Platform) {
    let serves = wait_until(MEASURED_WITHIN, || {
        platform.get(APP, "/").is_ok_and(|page| page.status == 200)
    });
    assert!(serves, "it is not there again");
    let before = sent(platform);
    for _ in 0..VISITS {
        visit(platform, "/page");
    }
    let mut seen = 0;
    let counted = wait_until(MEASURED_WITHIN, || {
        seen = sent(platform) - before;
        seen >= VISITS * PAGE_BYTES
    });
    assert!(
        counted && seen == VISITS * PAGE_BYTES,
        "{seen} bytes were counted"
    );
}

fn visit(platform: &Platform, path: &str) {
    let page = platform.get(APP, path).expect("it answers");
    assert_eq!(page.status, 200, "{}", page.text);
}

/// Of the one instance, once it is as wanted.
fn await_use(platform: &Platform, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    let came = wait_until(MEASURED_WITHIN, || {
        let answer = platform.json(&["apps", "metrics", APP, "web"]);
        seen = answer.expect_success("mainstay apps metrics").json()[0].clone();
        !seen.is_null() && is_wanted(&seen)
    });
    assert!(came, "it was never measured so: {seen}");
    seen
}

fn number(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// To all visitors of today, and of yesterday if the day changes meanwhile.
fn sent(platform: &Platform) -> u64 {
    let app = platform
        .json(&["apps", "get", APP])
        .expect_success("mainstay apps get");
    let app = app.json()[0]["id"].as_str().unwrap_or_default().to_owned();
    let now = jiff::Timestamp::now();
    let days = [now, now - jiff::SignedDuration::from_hours(24)];
    let of_day = |day: jiff::Timestamp| {
        let told = platform.ask(&format!("/v2/apps/{app}/metrics/bandwidth_daily?date={day}"));
        let bytes = told["app_bandwidth_usage"][0]["bandwidth_bytes"].as_str();
        bytes.map_or(0, |bytes| bytes.parse().expect("it is a number"))
    };
    days.map(of_day).into_iter().sum()
}

//! Those who share a machine are strangers to each other.

use mainstay_e2e::{Folder, Platform};
use serde_json::Value;

const EMAIL: &str = "ann@acme.example";

fn site(words: &str) -> Folder {
    let page = format!("<!doctype html><title>Pages</title><p>{words}</p>\n");
    Folder::static_site("pages").with("index.html", &page)
}

pub(crate) fn two_accounts_share_the_machine_and_nothing_else(platform: &mut Platform) {
    platform.deploy_active(&site("Ours."));
    let _ = platform
        .json(&["accounts", "create", "acme"])
        .expect_success("mainstay accounts create");
    let _ = platform
        .json(&["users", "create", EMAIL, "--account", "acme"])
        .expect_success("mainstay users create");
    let token = ["tokens", "create", "ann", "--scope", "write", "--user", EMAIL];
    let token = platform.text(&[&token, ["--account", "acme"].as_slice()].concat());
    let token = token
        .expect_success("mainstay tokens create")
        .stdout
        .trim()
        .to_owned();

    let (ann, url) = (platform.user(), platform.api_url());
    let types = |arguments: &[&str]| {
        let json = [&["--output", "json"], arguments].concat();
        ann.types_with(&json, "", &[("MAINSTAY_URL", &url), ("MAINSTAY_TOKEN", &token)])
    };
    let who = types(&["account"]).json();
    assert_eq!(
        (&who[0]["email"], &who[0]["team"]["name"]),
        (&EMAIL.into(), &"acme".into()),
        "{who}"
    );
    assert_eq!(types(&["apps", "list"]).json(), Value::Array(Vec::new()));
    let theirs = site("Theirs.").on_disk();
    let _ = types(&["deploy", &theirs.path().display().to_string()]).expect_success("mainstay deploy");
    let app = types(&["apps", "get", "pages"]).json();
    let host = app[0]["live_domain"].as_str().unwrap_or_default().to_owned();
    let label = host.trim_end_matches(".localhost");
    assert!(label.starts_with("pages-") && label != host, "{app}");
    platform.expect_page(label, "/", "Theirs.");
    platform.expect_page("pages", "/", "Ours.");

    // What one does is nothing to the other.
    let refused = types(&["limits", "--account", "operators"]);
    assert!(!refused.is_success(), "{}", refused.stdout);
    platform.delete("pages");
    platform.expect_page(label, "/", "Theirs.");
    let _ = platform
        .json(&["users", "disable", EMAIL, "--account", "acme"])
        .expect_success("mainstay users disable");
    assert!(
        !types(&["apps", "list"]).is_success(),
        "a disabled user's token is none"
    );
    platform.expect_page(label, "/", "Theirs.");
    let _ = platform
        .json(&["users", "enable", EMAIL, "--account", "acme"])
        .expect_success("mainstay users enable");
    let _ = types(&["apps", "delete", "pages", "--force"]).expect_success("mainstay apps delete");
}

//! Apps of every kind serve.

use std::path::Path;

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Folder, Platform, python_hello};
use serde_json::json;

pub(crate) fn the_example_serves_and_an_unchanged_build_is_reused(platform: &mut Platform) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello");
    let first = platform.deploy_directory(&example);
    assert_eq!(
        first.phase(),
        "ACTIVE",
        "{first}\n{}",
        platform.build_log("hello", first.id())
    );
    assert!(
        !first.notes(Code::PreviousBuildReused),
        "a first build is no reused one: {first}"
    );
    platform.expect_page("hello", "/", "Hello");
    let second = platform.deploy_directory(&example);
    assert_eq!(second.phase(), "ACTIVE", "{second}");
    assert_ne!(first.id(), second.id());
    assert!(
        second.notes(Code::PreviousBuildReused),
        "nothing changed, but it was built: {:#}",
        second.json["progress"]
    );
    platform.expect_page("hello", "/", "Hello");
    platform.delete("hello");
}

pub(crate) fn a_static_site_serves(platform: &mut Platform) {
    let folder = Folder::static_site("pages")
        .with(
            "index.html",
            "<!doctype html><title>Pages</title><p>A page of files.</p>\n",
        )
        .with(
            "about/index.html",
            "<!doctype html><title>About</title><p>About files.</p>\n",
        );
    platform.deploy_active(&folder);
    platform.expect_page("pages", "/", "A page of files.");
    platform.expect_page("pages", "/about/", "About files.");
    let missing = platform
        .get("pages", "/no-such-file")
        .expect("the router answers");
    assert_eq!(missing.status, 404);
    platform.delete("pages");
}

pub(crate) fn a_node_app_serves(platform: &mut Platform) {
    let manifest = json!({
        "name": "noder", "version": "1.0.0", "private": true, "scripts": { "start": "node server.js" },
    });
    let folder = Folder::service("noder")
        .with("package.json", &manifest.to_string())
        .with("server.js", NODE_SERVER);
    platform.deploy_active(&folder);
    platform.expect_page("noder", "/anything", "Node says /anything");
    platform.delete("noder");
}

const NODE_SERVER: &str = r#"const http = require("node:http");

const port = process.env.PORT || 8080;
http
  .createServer((request, response) => response.end(`Node says ${request.url}\n`))
  .listen(port, () => console.log(`listening on ${port}`));
"#;

pub(crate) fn a_git_repository_is_cloned_by_its_path(platform: &mut Platform) {
    let folder = python_hello("cloned", "Hello from a clone");
    let repository = folder.in_git();
    let git = |url: &str| {
        folder
            .clone()
            .setting("git", json!({ "repo_clone_url": url, "branch": "main" }))
    };
    platform.create_or_update(&git(&format!("file://{}", repository.path().display())));
    platform.expect_page("cloned", "/", "Hello from a clone");

    let refused = platform.try_create_or_update(&git("/usr/share/shop"));
    assert_eq!(refused.code(), Some(Code::BuildJobFailed), "{refused}");
    assert_eq!(refused.cause(), Some(Cause::CloneUrlRefused), "{refused}");
    assert!(refused.message().contains("local_paths"), "{refused}");
    platform.expect_page("cloned", "/", "Hello from a clone");
    platform.delete("cloned");
}

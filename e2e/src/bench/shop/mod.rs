//! A small Express app that both sides build and serve: the same files, the same packages, the same root file system below.
//!
//! The packages come from the npm registry once, to our builder. Docker, whose namespace has no way out, installs them from the cache
//! that our builder kept; that first build is not measured.

mod base;
pub(super) mod in_docker;

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use super::docker::Docker;
use crate::{Folder, Platform};

pub(super) const NAME: &str = "shop";
pub(super) const PORT: u16 = 8080;
/// The one file that changes.
const CHANGING: &str = "pages/index.txt";

/// The app as a folder for each side.
#[derive(Debug)]
pub(super) struct Shop {
    ours: TempDir,
    theirs: TempDir,
    folder: Folder,
}

impl Shop {
    /// Deploys the app on the platform and makes what Docker needs to do the same.
    pub(super) fn open(platform: &Platform, docker: &Docker) -> Self {
        let folder = files();
        let _ = platform.deploy_active(&folder);
        // npm wrote it on the first installation; with it, both sides can tell that the packages have not changed.
        let lock = platform.text(&["exec", NAME, "web", "--", "cat", "package-lock.json"]);
        let folder = folder.with("package-lock.json", &lock.expect_success("mainstay exec").stdout);
        let ours = folder.on_disk();
        let deployment = platform.deploy_directory(ours.path());
        assert_eq!(deployment.phase(), "ACTIVE", "{deployment}");
        base::import(platform, docker);
        let dockerfile = include_str!("files/Dockerfile");
        let theirs = folder
            .clone()
            .with("Dockerfile", dockerfile)
            .with(".dockerignore", ".do\n")
            .on_disk();
        Self { ours, theirs, folder }
    }

    /// The folder to deploy, and the one for `docker build`.
    pub(super) fn directories(&self) -> (&Path, &Path) {
        (self.ours.path(), self.theirs.path())
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// Changes the one file in one of the directories.
pub(super) fn change(directory: &Path, version: &str) {
    fs::write(directory.join(CHANGING), page(version)).expect("our own directory");
}

/// What the page of a version says, and no other page.
pub(super) fn words(version: &str) -> String {
    format!("<p>Version {version}.</p>")
}

fn page(version: &str) -> String {
    format!("Welcome to the shop.\nVersion {version}.\n")
}

fn files() -> Folder {
    Folder::service(NAME)
        .setting("build_command", "node build.js")
        .setting("run_command", "node server.js")
        .setting("http_port", json!(PORT))
        .with("package.json", include_str!("files/package.json"))
        .with("build.js", include_str!("files/build.js"))
        .with("server.js", include_str!("files/server.js"))
        .with(CHANGING, &page("first"))
}

/// What the app itself says in an output: `build took 41 ms`.
pub(super) fn told(output: &str, what: &str) -> f64 {
    let prefix = format!("{what} took ");
    let told = output.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(&prefix)?;
        rest.split(' ').next()?.parse().ok()
    });
    told.unwrap_or_else(|| panic!("the app does not say how long its {what} took:\n{output}"))
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn the_app_tells_how_long_it_took() {
        let output = "web | boot took 3 ms\n#9 0.345 build took 41 ms\nweb | boot took 120 ms\n";
        assert!((told(output, "build") - 41.0).abs() < f64::EPSILON);
        assert!((told(output, "boot") - 120.0).abs() < f64::EPSILON);
    }
}

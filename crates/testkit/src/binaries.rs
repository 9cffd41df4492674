//! The shim and init as programs. Init must be static, for it runs in any image; that is a property of one build command, not of the
//! workspace, so the command has this one home.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};
use walkdir::WalkDir;

/// How the shim is built. Init is always built for release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

/// Crates whose change makes the programs stale.
const SOURCES: [&str; 4] = ["shim", "init", "diagnosis", "spec"];

/// Names a directory with both programs, where there is nothing to build them with.
const READY_MADE: &str = "MAINSTAY_TESTKIT_PROGRAMS";

/// A directory with `mainstay-shim` and `mainstay-init`, built if they are missing or older than their sources.
pub fn binaries() -> PathBuf {
    if let Some(directory) = std::env::var_os(READY_MADE) {
        return PathBuf::from(directory);
    }
    let workspace = workspace();
    // Several checkouts may share one target directory.
    let mut hasher = DefaultHasher::new();
    workspace.hash(&mut hasher);
    let directory = target_directory(&workspace).join(format!("testkit-bin-{:x}", hasher.finish()));
    fs::create_dir_all(&directory).expect("the target directory is writable");
    let lock = File::create(directory.join("lock")).expect("the target directory is writable");
    // Tests are processes of their own and may all come here at once.
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be waited for");
    if !is_fresh(&directory, &workspace) {
        build_binaries(&directory, Profile::Dev);
    }
    directory
}

/// Builds both programs into a directory.
pub fn build_binaries(directory: &Path, profile: Profile) {
    let workspace = workspace();
    let target = target_directory(&workspace);
    let shim_profile = match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    };
    cargo(
        &workspace,
        &[
            "build",
            "--quiet",
            "-p",
            "mainstay-shim",
            "--bin",
            "mainstay-shim",
            "--profile",
            shim_profile,
        ],
    );
    let init = [
        "rustc",
        "--quiet",
        "-p",
        "mainstay-init",
        "--bin",
        "mainstay-init",
        "--release",
    ];
    // Static, and at a fixed address: without relocations its memory is shared between all instances.
    let flags = [
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "relocation-model=static",
    ];
    cargo(&workspace, &[init.as_slice(), flags.as_slice()].concat());
    let built = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    install(&target.join(built).join("mainstay-shim"), directory);
    install(&target.join("release").join("mainstay-init"), directory);
}

/// By rename, for the old program may be running.
fn install(program: &Path, directory: &Path) {
    let name = program.file_name().expect("a program has a name");
    let temporary = directory.join("installing");
    fs::copy(program, &temporary).expect("a built program can be copied");
    fs::rename(&temporary, directory.join(name)).expect("a file can be renamed in its directory");
}

fn cargo(workspace: &Path, arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target_directory(workspace))
        .status()
        .expect("cargo can be run");
    assert!(
        status.success(),
        "cargo {} ended with {status}",
        arguments.join(" ")
    );
}

fn is_fresh(directory: &Path, workspace: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let oldest = ["mainstay-shim", "mainstay-init"]
        .iter()
        .map(|name| modified(&directory.join(name)))
        .min()
        .flatten();
    let newest = SOURCES
        .iter()
        .flat_map(|name| WalkDir::new(workspace.join("crates").join(name)))
        .filter_map(Result::ok)
        .filter_map(|entry| modified(entry.path()))
        .chain(modified(&workspace.join("Cargo.lock")))
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH);
    oldest.is_some_and(|oldest| oldest > newest)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies two levels below the workspace")
        .to_owned()
}

fn target_directory(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |directory| workspace.join(directory))
}

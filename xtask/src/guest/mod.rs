//! The engine's machine tests on another machine: Debian's own kernel with cgroup v2 alone, in qemu.
//!
//! ```text
//!  kernel     Debian's cloud kernel, downloaded and unpacked, never installed
//!  files      the guest's root: this machine's programs with their libraries, the tests, the kernel's modules
//!  disks      an ext4 image of that root, and the first root that finds it
//!  machine    qemu until the tests have ended
//! ```
//!
//! Nothing of it stays outside of `target/guest`, and nothing of this machine is written to by the guest.

mod disks;
mod files;
mod kernel;
mod machine;

use std::path::PathBuf;

use crate::{
    command::{cargo, run_quietly, target},
    packages, programs,
    step::step,
};

/// Integration tests of the engine that make containers and networks.
const TESTS: [&str; 3] = ["machine", "machine_with_copies", "network"];

/// Runs them all, or those whose names hold one of the filters.
pub(crate) fn test(filters: &[&str]) -> Result<(), String> {
    packages::require_root()?;
    packages::install_to_test_in_guest()?;
    let directory = target().join("guest");
    std::fs::create_dir_all(&directory)
        .map_err(|error| format!("could not create {}: {error}", directory.display()))?;
    let tests = step("build the tests", build_tests)?;
    let prepared = step("build the programs under test", prepare)?;
    let kernel = step("get Debian's kernel", || kernel::get(&directory))?;
    let disk = step("make the guest's disk", || {
        let root = files::assemble(&directory, &kernel, &tests, &prepared, filters)?;
        disks::root_disk(&directory, &root)
    })?;
    let first_root = disks::first_root(&directory, &kernel)?;
    machine::run(&kernel, &first_root, &disk)
}

/// A test program and its name.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
}

fn build_tests() -> Result<Vec<Test>, String> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--quiet", "--message-format=json"]);
    command.args(["--package", "mainstay-engine"]);
    for test in TESTS {
        command.args(["--test", test]);
    }
    let messages = run_quietly(&mut command)?;
    TESTS
        .iter()
        .map(|name| {
            let program = executable_of(&messages, name);
            Ok(Test {
                name,
                program: program.ok_or_else(|| format!("cargo built no test program {name}"))?,
            })
        })
        .collect()
}

/// Cargo's message about a built target, a JSON object per line.
fn executable_of(messages: &str, name: &str) -> Option<PathBuf> {
    let named = format!(r#""name":"{name}""#);
    let message = messages
        .lines()
        .find(|line| line.contains(&named) && line.contains(r#""kind":["test"]"#))?;
    let (_, from_path) = message.split_once(r#""executable":""#)?;
    from_path.split_once('"').map(|(path, _)| PathBuf::from(path))
}

/// What the tests find on this machine by building it, and in the guest by being told.
pub(crate) struct Prepared {
    /// Holds the shim and the init.
    pub(crate) programs: PathBuf,
    /// The root file system that the tests' instances run on.
    pub(crate) layer: PathBuf,
}

fn prepare() -> Result<Prepared, String> {
    programs::build_init()?;
    let mut command = cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "mainstay-testkit",
        "--example",
        "prepare",
    ]);
    let printed = run_quietly(&mut command)?;
    match printed.lines().collect::<Vec<_>>().as_slice() {
        [programs, layer] => Ok(Prepared {
            programs: PathBuf::from(programs),
            layer: PathBuf::from(layer),
        }),
        _ => Err(format!("the testkit's `prepare` printed {printed:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_s_program_is_found_in_cargo_s_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"machine"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"crate_types":["bin"],"name":"machine"},"executable":"/t/machine-1"}"#,
        );
        assert_eq!(
            executable_of(messages, "machine"),
            Some(PathBuf::from("/t/machine-1"))
        );
        assert_eq!(executable_of(messages, "network"), None);
    }
}

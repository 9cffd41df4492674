//! Debian's packages: what is missing is installed with one call.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, process::Command};

use crate::{command::run_quietly, step::step};

/// What running Mainstay needs.
const TO_RUN: [&str; 12] = [
    "buildah",
    "ca-certificates",
    "e2fsprogs",
    "git",
    "iproute2",
    "libc6-dev",
    "gcc",
    "mmdebstrap",
    "mount",
    "nftables",
    "openssh-client",
    "runc",
];

/// What the tests need besides: a registry, and a host's own certificates and tools.
const TO_TEST: [&str; 4] = ["busybox-static", "curl", "docker-registry", "python3-venv"];

/// What the tests in a virtual machine need besides: the machine, and the tools whose programs are copied into it.
const TO_TEST_IN_GUEST: [&str; 3] = ["iptables", "libc-bin", "qemu-system-x86"];

/// What the benchmarks compare with. Docker's and nginx's own services are not started: the benchmarks start what they need, apart.
const TO_BENCH: [&str; 3] = ["docker.io", "nginx-light", "wrk"];

/// Debian's packages ask it before they start a service (invoke-rc.d(8), deb-systemd-invoke(1)); 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub(crate) fn install_to_run() -> Result<(), String> {
    install(&TO_RUN)
}

pub(crate) fn install_to_test() -> Result<(), String> {
    install(&[&TO_RUN[..], &TO_TEST[..]].concat())
}

pub(crate) fn install_to_test_in_guest() -> Result<(), String> {
    install(&[&TO_RUN[..], &TO_TEST[..], &TO_TEST_IN_GUEST[..]].concat())
}

pub(crate) fn install_to_bench() -> Result<(), String> {
    install(&[&TO_RUN[..], &TO_BENCH[..]].concat())
}

fn install(wanted: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        println!("✔ all {} Debian packages are there", wanted.len());
        return Ok(());
    }
    step(&format!("install from Debian: {}", missing.join(" ")), || {
        run_quietly(apt().arg("update"))?;
        let _no_services = NoServices::begin()?;
        run_quietly(
            apt()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(&missing),
        )
        .map(|_| ())
    })
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args([
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Acquire::Retries=3",
    ]);
    command
}

/// While it lives no package's service is started. Somebody's own policy is left as it is.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn begin() -> Result<Self, String> {
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o755).open(POLICY);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"));
        written.map_err(|error| format!("{POLICY}: {error}"))?;
        Ok(Self { made: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            // What stays would keep the operator's next package from starting its service; there is nobody to tell but the terminal.
            if let Err(error) = fs::remove_file(POLICY) {
                eprintln!("{POLICY} stays behind: {error}");
            }
        }
    }
}

fn is_installed(package: &str) -> bool {
    let status =
        run_quietly(Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}", package]));
    status.is_ok_and(|text| text.starts_with("ii"))
}

/// The house cannot be built or run by anybody else.
pub(crate) fn require_root() -> Result<(), String> {
    let id = run_quietly(Command::new("id").arg("--user"))?;
    if id.trim() == "0" {
        Ok(())
    } else {
        Err("this command makes containers and networks: run it as root".into())
    }
}

//! Each way in which a command can be wrong, on small layers.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use mainstay_shim::spec::{Mount, MountKind};
use mainstay_spec::ids::{AppId, InstanceId};
use uuid::Uuid;

use super::*;
use crate::api::{InstanceOwner, Limits, Network};

struct Image {
    layer: tempfile::TempDir,
}

impl Image {
    fn new() -> Self {
        let layer = tempfile::tempdir().unwrap();
        let image = Self { layer };
        image.file("bin/sh", 0o755, b"#!/bin/true-shell\n");
        image.file("bin/true-shell", 0o755, &elf(native(), None));
        fs::create_dir_all(image.layer.path().join("app")).unwrap();
        image
    }

    fn file(&self, path: &str, mode: u32, content: &[u8]) {
        let path = self.layer.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn spec(&self, argv: &[&str]) -> InstanceSpec {
        InstanceSpec {
            id: InstanceId::from_uuid(Uuid::nil()),
            owner: InstanceOwner::BuildStep {
                app: AppId::from_uuid(Uuid::nil()),
                build: "1".to_owned(),
            },
            layers: vec![self.layer.path().to_owned()],
            mounts: Vec::new(),
            argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            working_dir: "/app".to_owned(),
            user: None,
            hostname: "web".to_owned(),
            limits: Limits {
                memory_bytes: 1,
                cpu_millis: 1,
                cpu_shares: 2,
                pids: 1,
                disk_bytes: None,
            },
            network: Network::None,
            stop_signal: 15,
        }
    }

    fn kind(&self, argv: &[&str]) -> Option<ExecFaultKind> {
        check(&self.spec(argv)).unwrap().map(|fault| fault.kind)
    }
}

fn native() -> u16 {
    if cfg!(target_arch = "aarch64") { 183 } else { 62 }
}

/// A 64-bit little-endian ELF header, with one program header that names an interpreter.
fn elf(machine: u16, interpreter: Option<&str>) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16..18].copy_from_slice(&2_u16.to_le_bytes());
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[20..24].copy_from_slice(&1_u32.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[52..54].copy_from_slice(&64_u16.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&u16::from(interpreter.is_some()).to_le_bytes());
    if let Some(name) = interpreter {
        let mut segment = vec![0; 56];
        segment[..4].copy_from_slice(&3_u32.to_le_bytes());
        segment[8..16].copy_from_slice(&120_u64.to_le_bytes());
        segment[32..40].copy_from_slice(&(name.len() as u64 + 1).to_le_bytes());
        file.extend(segment);
        file.extend(name.as_bytes());
        file.push(0);
    }
    file
}

#[test]
fn a_good_command_passes() {
    let image = Image::new();
    image.file("app/serve", 0o755, b"#!/bin/sh\necho\n");
    assert_eq!(image.kind(&["sh"]), None);
    assert_eq!(image.kind(&["./serve"]), None);
    assert_eq!(image.kind(&["/app/serve"]), None);
    assert_eq!(image.kind(&["sh", "-c", "./serve --now"]), None);
}

#[test]
fn a_missing_command_is_told_with_what_may_have_been_meant() {
    let image = Image::new();
    image.file("usr/bin/gunicorn", 0o755, b"#!/bin/sh\n");
    image.file("usr/bin/gunicorn-notes", 0o644, b"");
    let fault = check(&image.spec(&["gunicron"])).unwrap().unwrap();
    assert_eq!(fault.kind, ExecFaultKind::NotFound);
    assert_eq!(fault.close_matches, ["gunicorn"]);
    assert_eq!(fault.search_path.as_deref(), Some("/usr/bin:/bin"));
    assert!(fault.preflight);
    let by_shell = check(&image.spec(&["sh", "-c", "gunicron app:app"]))
        .unwrap()
        .unwrap();
    assert_eq!(by_shell.kind, ExecFaultKind::NotFound);
    assert_eq!(by_shell.argv, ["gunicron"], "the shell is not what is missing");
}

#[test]
fn no_command_is_told() {
    let image = Image::new();
    assert!(matches!(
        image.kind(&[]),
        Some(ExecFaultKind::NoRunCommand { .. })
    ));
}

#[test]
fn modes_and_directories_are_told() {
    let image = Image::new();
    image.file("app/run.sh", 0o644, b"#!/bin/sh\n");
    image.file("app/private", 0o700, b"#!/bin/sh\n");
    image.file("etc/passwd", 0o644, b"app:x:1000:1000::/home/app:/bin/sh\n");
    assert_eq!(
        image.kind(&["./run.sh"]),
        Some(ExecFaultKind::NotExecutable { mode: Some(0o644) })
    );
    assert_eq!(image.kind(&["/app"]), Some(ExecFaultKind::IsDirectory));
    assert_eq!(image.kind(&["./private"]), None);
    let spec = InstanceSpec {
        user: Some("app".to_owned()),
        ..image.spec(&["./private"])
    };
    let fault = check(&spec).unwrap().unwrap();
    assert_eq!(fault.kind, ExecFaultKind::NotExecutable { mode: Some(0o700) });
}

#[test]
fn interpreters_are_looked_for() {
    let image = Image::new();
    image.file("app/cr", 0o755, b"#!/bin/sh\r\necho\r\n");
    image.file("app/no-interpreter", 0o755, b"#! /usr/bin/python3 -u\n");
    image.file("app/by-env", 0o755, b"#!/usr/bin/env node\n");
    image.file("usr/bin/env", 0o755, b"#!/bin/sh\n");
    image.file(
        "app/musl",
        0o755,
        &elf(native(), Some("/lib/ld-musl-x86_64.so.1")),
    );
    let missing = |name: &str| {
        Some(ExecFaultKind::InterpreterMissing {
            interpreter: name.to_owned(),
        })
    };
    let first_line = "#!/bin/sh".to_owned();
    assert_eq!(
        image.kind(&["./cr"]),
        Some(ExecFaultKind::CarriageReturnInInterpreter { first_line })
    );
    assert_eq!(image.kind(&["./no-interpreter"]), missing("/usr/bin/python3"));
    assert_eq!(image.kind(&["./by-env"]), missing("node"));
    assert_eq!(image.kind(&["./musl"]), missing("/lib/ld-musl-x86_64.so.1"));
    image.file("lib/ld-musl-x86_64.so.1", 0o755, b"");
    assert_eq!(image.kind(&["./musl"]), None);
}

#[test]
fn formats_that_the_kernel_cannot_load_are_told() {
    let image = Image::new();
    image.file("app/foreign", 0o755, &elf(243, None));
    image.file("app/text", 0o755, b"echo hello\n");
    image.file("app/empty", 0o755, b"");
    assert!(matches!(
        image.kind(&["./foreign"]),
        Some(ExecFaultKind::WrongArchitecture { machine, .. }) if machine == "riscv"
    ));
    let unknown = |bytes: &str| {
        Some(ExecFaultKind::UnknownFormat {
            first_bytes: bytes.to_owned(),
        })
    };
    assert_eq!(image.kind(&["./text"]), unknown("echo hello\\n"));
    assert_eq!(image.kind(&["./empty"]), unknown(""));
    assert_eq!(
        image.kind(&["sh", "-c", "./text"]),
        None,
        "a shell runs it itself"
    );
    image.file("app/bytes", 0o755, b"\0\x01\x02\n");
    assert_eq!(
        image.kind(&["sh", "-c", "./bytes"]),
        unknown("\\x00\\x01\\x02\\n"),
        "no shell takes that for a script"
    );
}

#[test]
fn users_and_working_directories_are_looked_for() {
    let image = Image::new();
    let spec = InstanceSpec {
        user: Some("deploy".to_owned()),
        ..image.spec(&["sh"])
    };
    let user = "deploy".to_owned();
    assert_eq!(
        check(&spec).unwrap().unwrap().kind,
        ExecFaultKind::UserUnknown { user }
    );
    let spec = InstanceSpec {
        working_dir: "/srv".to_owned(),
        ..image.spec(&["sh"])
    };
    let path = "/srv".to_owned();
    assert_eq!(
        check(&spec).unwrap().unwrap().kind,
        ExecFaultKind::WorkingDirectoryMissing { path }
    );
}

#[test]
fn what_is_mounted_is_not_judged() {
    let image = Image::new();
    let mut spec = image.spec(&["/data/tool"]);
    spec.mounts = vec![Mount {
        target: "/data".to_owned(),
        kind: MountKind::ReadOnly {
            source: "/nowhere".into(),
        },
    }];
    assert_eq!(check(&spec).unwrap(), None);
}

#[test]
fn links_lead_to_what_they_name() {
    let image = Image::new();
    image.file("opt/tool/bin/tool", 0o755, b"#!/bin/sh\n");
    fs::create_dir_all(image.layer.path().join("usr/bin")).unwrap();
    symlink("/opt/tool/bin/tool", image.layer.path().join("usr/bin/tool")).unwrap();
    symlink("gone", image.layer.path().join("usr/bin/dangling")).unwrap();
    assert_eq!(image.kind(&["tool"]), None);
    assert_eq!(image.kind(&["dangling"]), Some(ExecFaultKind::NotFound));
}

//! What an instance cannot do.

use std::{fs, os::unix::fs::MetadataExt};

use mainstay_engine::{Mount, MountKind};
use mainstay_shim::cgroup::CgroupVersion;

use crate::world::{PROGRAMS, World, exited};

#[tokio::test]
async fn root_of_an_instance_is_nobody_on_the_host() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (_, output) = world
        .run(world.shell("id -u; cat /proc/self/uid_map; ls -ln /bin/busybox | awk '{print $3}'"))
        .await;
    assert_eq!(output[0], "0");
    let map: Vec<&str> = output[1].split_ascii_whitespace().collect();
    assert_eq!(map, ["0", &world.config.id_range.start.to_string(), "65536"]);
    assert_eq!(output[2], "0", "the image's files keep their owners inside");
}

#[tokio::test]
async fn privileges_are_dropped_for_good() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (_, output) = world
        .run(world.shell("grep -E '^(CapEff|CapInh|CapAmb|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status"))
        .await;
    let expected = [
        "CapInh:\t0000000000000000",
        "CapEff:\t00000000800405fb",
        "CapBnd:\t00000000800405fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ];
    assert_eq!(output, expected);
    let mut spec = world.shell("grep CapEff /proc/self/status; id -u; id -G; echo $HOME");
    spec.user = Some("app".to_owned());
    let (_, output) = world.run(spec).await;
    assert_eq!(
        output,
        ["CapEff:\t0000000000000000", "1000", "1000 2000", "/home/app"]
    );
}

#[tokio::test]
async fn the_kernel_and_the_limits_are_out_of_reach() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (cgroup, limit) = match CgroupVersion::detect(&world.config.cgroup_root) {
        CgroupVersion::V1 => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        CgroupVersion::V2 => ("/sys/fs/cgroup", "memory.max"),
    };
    for (attempt, reason) in [
        ("mount -t tmpfs none /tmp", "mount"),
        ("unshare -Ur true", "unshare"),
        ("echo 1 > /proc/sys/kernel/panic", "Read-only file system"),
        (&format!("mkdir {cgroup}/more"), "Read-only file system"),
        (
            &format!("cat {cgroup}/{limit}; echo 1000000000 > {cgroup}/{limit}"),
            "Read-only file system",
        ),
        ("echo 127.0.0.2 evil >> /etc/hosts", "Read-only file system"),
        ("mknod /tmp/disk b 254 0", "Operation not permitted"),
        ("chroot / /bin/mount -t proc none /proc", "mount"),
        ("cat /proc/1/environ", "Permission denied"),
        ("echo forged > /proc/1/fd/3", "Permission denied"),
        ("hostname other", "Operation not permitted"),
        ("dmesg", "Operation not permitted"),
    ] {
        let (exit, output) = world.run(world.shell(attempt)).await;
        assert_ne!(exit.termination, exited(0), "{attempt}: {output:?}");
        assert!(
            output.iter().any(|line| line.contains(reason)),
            "{attempt}: {output:?}"
        );
    }
}

#[tokio::test]
async fn instances_of_an_app_do_not_see_each_other_s_processes_and_files() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (_, output) = world
        .run(world.shell("echo secret > /tmp/mine; echo x > /bin/new; ls /proc | grep -c '^[0-9]'"))
        .await;
    // init, the shell and the two of the pipe.
    assert!(output[0].parse::<u32>().unwrap() <= 4, "{output:?}");
    let (exit, _) = world
        .run(world.shell("test ! -e /tmp/mine && test ! -e /bin/new"))
        .await;
    assert_eq!(exit.termination, exited(0));
    assert!(!mainstay_testkit::busybox_layer().join("bin/new").exists());
}

#[tokio::test]
async fn files_written_to_mounts_have_the_owners_seen_from_inside() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = directory.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (read_only, writable, lower, upper, work) =
        (make("ro"), make("rw"), make("lower"), make("upper"), make("work"));
    fs::write(read_only.join("given"), "given\n").unwrap();
    fs::write(lower.join("below"), "below\n").unwrap();
    let mut spec = world.shell(
        "cat /in/given; echo x > /in/new; echo app > /out/file; chown 1000:1000 /out/file; \
         cat /merged/below; rm /merged/below; echo new > /merged/new; mkdir /merged/dir; chown 1000 /merged/dir",
    );
    spec.mounts = vec![
        Mount {
            target: "/in".to_owned(),
            kind: MountKind::ReadOnly {
                source: read_only.clone(),
            },
        },
        Mount {
            target: "/out".to_owned(),
            kind: MountKind::Writable {
                source: writable.clone(),
            },
        },
        Mount {
            target: "/merged".to_owned(),
            kind: MountKind::Overlay {
                lower: vec![lower.clone()],
                upper: upper.clone(),
                work,
            },
        },
    ];
    let (_, output) = world.run(spec).await;
    assert!(
        output.contains(&"given".to_owned()) && output.contains(&"below".to_owned()),
        "{output:?}"
    );
    assert!(
        output.iter().any(|line| line.contains("Read-only file system")),
        "{output:?}"
    );
    let owner = |path: &std::path::Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert!(!read_only.join("new").exists());
    assert_eq!(owner(&writable.join("file")), (1000, 1000));
    assert_eq!(owner(&upper.join("new")), (0, 0));
    assert_eq!(owner(&upper.join("dir")), (1000, 0));
    assert!(lower.join("below").exists());
    // The upper directory is a layer as it is: the removal is in it.
    let tree = mainstay_images::tree::LayerTree::new(&[lower, upper]);
    assert!(tree.find("/below".as_ref()).unwrap().is_none());
    assert!(tree.find("/new".as_ref()).unwrap().is_some());
}

//! A tiny root file system: Debian's static busybox as one layer directory.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

/// Made once per machine; only ever read.
const CACHE: &str = "/var/cache/mainstay-test";

/// Part of the layer's name, so that a change of this file makes another one.
const VERSION: u32 = 1;

/// The layer: busybox with a link for each of its commands, users root, app (1000) and nobody.
pub fn busybox_layer() -> PathBuf {
    let cache = Path::new(CACHE);
    fs::create_dir_all(cache).expect("root can write to /var/cache");
    let lock = File::create(cache.join("lock")).expect("root can write to /var/cache");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be waited for");
    let layer = cache.join(format!("busybox-{VERSION}"));
    if !layer.is_dir() {
        let building = cache.join("building");
        let _ = fs::remove_dir_all(&building);
        build(&building);
        fs::rename(&building, &layer).expect("a directory can be renamed in its directory");
    }
    layer
}

fn build(layer: &Path) {
    let unpacked = layer.with_extension("deb");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked).expect("the cache is writable");
    run(Command::new("apt-get")
        .args(["download", "-q", "busybox-static"])
        .current_dir(&unpacked));
    let package = fs::read_dir(&unpacked)
        .expect("the directory was just made")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .expect("apt-get says when it downloads nothing");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked));
    for directory in [
        "bin", "etc", "tmp", "proc", "sys", "dev", "root", "home/app", "usr/bin",
    ] {
        fs::create_dir_all(layer.join(directory)).expect("the cache is writable");
    }
    let busybox = layer.join("bin/busybox");
    fs::copy(unpacked.join("bin/busybox"), &busybox).expect("the package holds busybox");
    for command in applets(&busybox) {
        // `busybox` itself is in its list.
        let _ = symlink("busybox", layer.join("bin").join(command));
    }
    write(layer, "etc/passwd", PASSWD);
    write(layer, "etc/group", GROUP);
    fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("root may");
    std::os::unix::fs::chown(layer.join("home/app"), Some(1000), Some(1000)).expect("root may");
    fs::remove_dir_all(&unpacked).expect("root may");
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
const GROUP: &str = "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n";

fn applets(busybox: &Path) -> Vec<String> {
    let output = Command::new(busybox)
        .arg("--list")
        .output()
        .expect("a static program runs anywhere");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn write(layer: &Path, path: &str, content: &str) {
    fs::write(layer.join(path), content).expect("the cache is writable");
}

fn run(command: &mut Command) {
    let status = command.status().expect("Debian has this program");
    assert!(status.success(), "{command:?} ended with {status}");
}

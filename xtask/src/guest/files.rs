//! The guest's root directory: this machine's programs with the libraries they load, and no more.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::run_quietly;

use super::{Prepared, Test, kernel::Kernel};

/// What engine, shim and tests start.
const PROGRAMS: [&str; 11] = [
    "cat",
    "ip",
    "iptables",
    "mkfs.ext4",
    "mount",
    "nft",
    "nsenter",
    "runc",
    "sysctl",
    "umount",
    "unshare",
];

/// From busybox, for the guest's own start and end.
const APPLETS: [&str; 9] = [
    "sh", "mkdir", "sleep", "modprobe", "poweroff", "sync", "uname", "ls", "hostname",
];

const DIRECTORIES: [&str; 14] = [
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "mainstay",
    "var/cache",
    "var/lib",
];

/// Debian's layout: the old directories are links.
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("etc/mtab", "/proc/mounts"),
];

/// Configuration that the programs read.
const CONFIGURATION: [&str; 5] = [
    "/etc/mke2fs.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/protocols",
    "/etc/services",
];

const INIT: &str = include_str!("init.sh");

pub(crate) fn assemble(
    directory: &Path,
    kernel: &Kernel,
    tests: &[Test],
    prepared: &Prepared,
    filters: &[&str],
) -> Result<PathBuf, String> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(failed("remove", &root))?;
    }
    for name in DIRECTORIES {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
    }
    for (name, destination) in LINKS {
        symlink(destination, root.join(name)).map_err(failed("link", &root.join(name)))?;
    }
    place_programs(&root, tests, prepared)?;
    for file in CONFIGURATION {
        // Not every machine has all of them.
        if Path::new(file).is_file() {
            copy(Path::new(file), &root.join(file.trim_start_matches('/')))?;
        }
    }
    place_tree(&kernel.modules, &root.join("usr/lib/modules"))?;
    place_tree(&prepared.layer, &root.join("var/cache/mainstay-test"))?;
    let filters: String = filters.iter().map(|filter| format!("{filter}\n")).collect();
    write(&root.join("mainstay/filters"), &filters, 0o644)?;
    write(&root.join("usr/sbin/init"), INIT, 0o755)?;
    Ok(root)
}

fn place_programs(root: &Path, tests: &[Test], prepared: &Prepared) -> Result<(), String> {
    let mut libraries = BTreeSet::new();
    let mut place = |from: &Path, to: PathBuf| {
        libraries.extend(libraries_of(from)?);
        copy(from, &to)
    };
    for name in PROGRAMS {
        let found = find(name)?;
        place(&found, root.join("usr/sbin").join(name))?;
    }
    for name in ["mainstay-shim", "mainstay-init"] {
        place(
            &prepared.programs.join(name),
            root.join("mainstay/programs").join(name),
        )?;
    }
    for test in tests {
        place(&test.program, root.join("mainstay/tests").join(test.name))?;
    }
    copy(&find("busybox")?, &root.join("usr/bin/busybox"))?;
    for applet in APPLETS {
        let link = root.join("usr/bin").join(applet);
        symlink("busybox", &link).map_err(failed("link", &link))?;
    }
    // Where the kernel looks for it.
    let modprobe = root.join("usr/sbin/modprobe");
    symlink("../bin/busybox", &modprobe).map_err(failed("link", &modprobe))?;
    libraries.extend(plugins()?);
    for library in &libraries {
        let to = root.join(under_usr(library));
        copy(library, &to)?;
    }
    Ok(())
}

/// What iptables loads by name.
fn plugins() -> Result<Vec<PathBuf>, String> {
    let directory = Path::new("/usr/lib/x86_64-linux-gnu/xtables");
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
}

/// `/lib/x` is `/usr/lib/x`.
fn under_usr(path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.starts_with("usr") {
        relative.to_owned()
    } else {
        Path::new("usr").join(relative)
    }
}

/// The dynamic loader knows: `name => /path (address)`, or `/path (address)` for itself.
fn libraries_of(program: &Path) -> Result<BTreeSet<PathBuf>, String> {
    // A static program has none, which is an error to ldd.
    let Ok(printed) = run_quietly(Command::new("ldd").arg(program)) else {
        return Ok(BTreeSet::new());
    };
    if let Some(missing) = printed.lines().find(|line| line.contains("not found")) {
        return Err(format!("{}: {}", program.display(), missing.trim()));
    }
    let paths = printed
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn find(name: &str) -> Result<PathBuf, String> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("this machine has no {name}"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
    }
    fs::copy(from, to).map(|_| ()).map_err(failed("copy", from))
}

/// A whole directory, with owners and links.
fn place_tree(from: &Path, parent: &Path) -> Result<(), String> {
    fs::create_dir_all(parent).map_err(failed("create", parent))?;
    run_quietly(Command::new("cp").arg("--archive").arg(from).arg(parent)).map(|_| ())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(failed("write", path))
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> String + use<'a> {
    move |error| format!("could not {operation} {}: {error}", path.display())
}

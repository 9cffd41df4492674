//! Images: the disk with the guest's root, and the first root, which only has to find that disk.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::command::run_quietly;

use super::kernel::Kernel;

/// Room for what the tests write, above what is there.
const DISK_SIZE: &str = "4G";

/// What a disk on a virtual PCI bus needs.
const MODULE_DIRECTORIES: [&str; 1] = ["kernel/drivers/virtio"];
const MODULE_FILES: [&str; 1] = ["kernel/drivers/block/virtio_blk.ko"];

/// Modules need each other in an order that nobody has to know: whatever loads, loads.
const FIRST_INIT: &str = "#!/busybox sh
/busybox mount -t devtmpfs dev /dev
for round in 1 2 3 4; do
  for module in /modules/*; do /busybox insmod \"$module\" 2>/dev/null; done
done
/busybox mount -t ext4 /dev/vda /root && exec /busybox switch_root /root /sbin/init
/busybox echo 'the disk of the guest was not found'
/busybox poweroff -f
";

pub(crate) fn root_disk(directory: &Path, root: &Path) -> Result<PathBuf, String> {
    let image = directory.join("root.img");
    if image.exists() {
        fs::remove_file(&image).map_err(|error| format!("could not remove {}: {error}", image.display()))?;
    }
    run_quietly(
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", "-d"])
            .arg(root)
            .arg(&image)
            .arg(DISK_SIZE),
    )?;
    Ok(image)
}

pub(crate) fn first_root(directory: &Path, kernel: &Kernel) -> Result<PathBuf, String> {
    let root = directory.join("first-root");
    let failed = |error| format!("could not prepare {}: {error}", root.display());
    if root.exists() {
        fs::remove_dir_all(&root).map_err(failed)?;
    }
    for name in ["dev", "root", "modules"] {
        fs::create_dir_all(root.join(name)).map_err(failed)?;
    }
    fs::copy("/bin/busybox", root.join("busybox")).map_err(failed)?;
    for module in modules(kernel).map_err(failed)? {
        let name = module.file_name().expect("a listed file has a name");
        fs::copy(&module, root.join("modules").join(name)).map_err(failed)?;
    }
    let init = root.join("init");
    fs::write(&init, FIRST_INIT).map_err(failed)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&init, executable).map_err(failed)?;
    archive(directory, &root)
}

fn modules(kernel: &Kernel) -> std::io::Result<Vec<PathBuf>> {
    let mut modules: Vec<PathBuf> = MODULE_FILES
        .iter()
        .map(|file| kernel.modules.join(file))
        .collect();
    for directory in MODULE_DIRECTORIES {
        for entry in fs::read_dir(kernel.modules.join(directory))? {
            modules.push(entry?.path());
        }
    }
    Ok(modules)
}

/// In the format that the kernel unpacks.
fn archive(directory: &Path, root: &Path) -> Result<PathBuf, String> {
    let list = directory.join("first-root.list");
    let image = directory.join("first-root.cpio");
    let failed = |error| format!("could not write {}: {error}", image.display());
    let names = run_quietly(Command::new("find").arg(".").current_dir(root))?;
    fs::write(&list, names).map_err(failed)?;
    let status = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(File::open(&list).map_err(failed)?)
        .stdout(File::create(&image).map_err(failed)?)
        .stderr(Stdio::null())
        .status()
        .map_err(failed)?;
    if status.success() {
        Ok(image)
    } else {
        Err(format!("busybox cpio ended with {status}"))
    }
}

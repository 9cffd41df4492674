//! Debian's cloud kernel: small, and with everything that a server of the distribution has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::run_quietly;

/// Depends on the current kernel of the release.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
    pub(crate) release: String,
}

/// Downloads and unpacks it, once per version.
pub(crate) fn get(directory: &Path) -> Result<Kernel, String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("the guest is made for x86-64 machines only".into());
    }
    let package = package()?;
    let release = package
        .strip_prefix("linux-image-")
        .expect("it was found by this prefix")
        .to_owned();
    let unpacked = directory.join(&package);
    if !unpacked.is_dir() {
        unpack(directory, &package, &unpacked)?;
    }
    Ok(Kernel {
        image: unpacked.join("boot").join(format!("vmlinuz-{release}")),
        modules: unpacked.join("lib/modules").join(&release),
        release,
    })
}

/// The package that the meta package stands for today.
fn package() -> Result<String, String> {
    let printed = run_quietly(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    let dependency = |line: &str| Some(line.trim().strip_prefix("Depends: ")?.to_owned());
    printed
        .lines()
        .filter_map(dependency)
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| format!("apt knows no {META_PACKAGE}"))
}

fn unpack(directory: &Path, package: &str, unpacked: &Path) -> Result<(), String> {
    let draft = directory.join("unpacking");
    let failed = |error| format!("could not prepare {}: {error}", draft.display());
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(failed)?;
    }
    fs::create_dir_all(&draft).map_err(failed)?;
    run_quietly(
        Command::new("apt-get")
            .args(["download", "-q", package])
            .current_dir(&draft),
    )?;
    let archive = fs::read_dir(&draft)
        .map_err(failed)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get downloaded no {package}"))?;
    run_quietly(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&archive)
            .arg(&draft),
    )?;
    fs::remove_file(&archive).map_err(failed)?;
    // What the kernel asks for by name or by device, it finds in these tables.
    run_quietly(
        Command::new("busybox")
            .arg("depmod")
            .arg("-b")
            .arg(&draft)
            .arg(package.trim_start_matches("linux-image-")),
    )?;
    fs::rename(&draft, unpacked).map_err(failed)
}

//! Overlays of layer directories, with the instance's file owners.

use std::{
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
};

use mainstay_shim::spec::ShimSpec;
use rustix::mount::{UnmountFlags, unmount};

use crate::system;

use super::{CreateError, Places, idmap, scratch::c_path};

/// Without these an upper directory could only be read with the lower ones it was made on.
const SELF_CONTAINED: &str = "redirect_dir=off,metacopy=off,index=off";

/// Where the pieces of one overlay are mounted while it is put together.
#[derive(Debug)]
struct Workshop {
    directory: PathBuf,
}

/// An overlay's writable part: two directories of one file system, below one directory.
#[derive(Debug)]
pub(super) struct Writable<'a> {
    pub(super) upper: &'a Path,
    pub(super) work: &'a Path,
}

pub(super) fn mount_root(
    spec: &ShimSpec,
    places: &Places,
    owners: &idmap::Owners,
    writable: &Path,
) -> Result<(), CreateError> {
    let target = places.root();
    fs::create_dir(&target).map_err(CreateError::on_path("create", &target))?;
    let parts = Writable {
        upper: &writable.join("upper"),
        work: &writable.join("work"),
    };
    // Nobody reads this layer after a crash, so an app's syncs need not wait for the disk.
    mount(places, owners, &spec.layers, &parts, &target, ",volatile")
}

/// Mounts an overlay of `lower` (bottom first) on a directory of ours.
pub(super) fn mount(
    places: &Places,
    owners: &idmap::Owners,
    lower: &[PathBuf],
    writable: &Writable<'_>,
    target: &Path,
    more_options: &str,
) -> Result<(), CreateError> {
    let workshop = Workshop::open(places)?;
    let options = workshop.assemble(owners, lower, writable)?;
    // Short relative names: the option string is limited to one page, which many long paths would fill.
    let here = |path: &Path| std::env::set_current_dir(path).map_err(CreateError::on_path("change to", path));
    here(&workshop.directory)?;
    let options = CString::new(format!("{options},{SELF_CONTAINED}{more_options}"))
        .map_err(io::Error::from)
        .map_err(CreateError::on("write the overlay's options"))?;
    let mounted = system::mount(c"overlay", &c_path(target)?, c"overlay", libc::MS_NODEV, &options)
        .map_err(CreateError::on_path("mount the overlay on", target));
    here(Path::new("/"))?;
    mounted?;
    workshop.close()
}

impl Workshop {
    fn open(places: &Places) -> Result<Self, CreateError> {
        let directory = places.mounts().join("parts");
        fs::create_dir_all(&directory).map_err(CreateError::on_path("create", &directory))?;
        super::scratch::prepare(&directory)?;
        Ok(Self { directory })
    }

    /// Mounts every part; the options that name them, topmost layer first as overlayfs wants it.
    fn assemble(
        &self,
        owners: &idmap::Owners,
        lower: &[PathBuf],
        writable: &Writable<'_>,
    ) -> Result<String, CreateError> {
        for (number, layer) in lower.iter().enumerate() {
            self.place(owners, layer, &number.to_string(), libc::MOUNT_ATTR_RDONLY)?;
        }
        let names: Vec<String> = (0..lower.len()).rev().map(|number| number.to_string()).collect();
        // Both must be on one mount, so what they have in common is mounted.
        let common = common_directory(writable.upper, writable.work);
        self.place(owners, &common, "w", 0)?;
        let inside = |path: &Path| {
            let path = path
                .strip_prefix(&common)
                .expect("the common directory is a prefix");
            Path::new("w").join(path)
        };
        Ok(format!(
            "lowerdir={},upperdir={},workdir={}",
            names.join(":"),
            escaped(&inside(writable.upper)),
            escaped(&inside(writable.work)),
        ))
    }

    fn place(
        &self,
        owners: &idmap::Owners,
        source: &Path,
        name: &str,
        attributes: u64,
    ) -> Result<(), CreateError> {
        let target = self.directory.join(name);
        fs::create_dir(&target).map_err(CreateError::on_path("create", &target))?;
        let mount = owners.map(source, attributes)?;
        idmap::attach_at(&mount, &target)
    }

    /// The overlay keeps what it needs; the names of the parts are not needed any more.
    fn close(self) -> Result<(), CreateError> {
        unmount(&self.directory, UnmountFlags::DETACH)
            .map_err(io::Error::from)
            .map_err(CreateError::on_path("unmount", &self.directory))
    }
}

/// The longest directory path that both have.
fn common_directory(one: &Path, other: &Path) -> PathBuf {
    one.components()
        .zip(other.components())
        .take_while(|(a, b)| a == b)
        .map(|(component, _)| component)
        .collect()
}

/// A comma or a backslash in a path would be read as the options' own.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_directory_holds_both() {
        let common = |one, other| common_directory(Path::new(one), Path::new(other));
        assert_eq!(common("/b/1/upper", "/b/1/work"), Path::new("/b/1"));
        assert_eq!(common("/b/upper", "/c/work"), Path::new("/"));
        assert_eq!(common("/b/x/upper", "/b/work"), Path::new("/b"));
    }

    #[test]
    fn commas_in_paths_are_escaped() {
        assert_eq!(escaped(Path::new("w/a,b")), "w/a\\,b");
    }
}

//! `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`: the platform's, read-only for the instance.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use mainstay_shim::spec::ShimSpec;

use super::{
    CreateError, Places, idmap,
    inside::{PointKind, Root},
};

const HOSTS: &str = "hosts";

/// Names resolve to the instance itself until the network gave it an address.
const HOSTS_BEFORE_NETWORK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost\n";

pub(super) fn mount_all(spec: &ShimSpec, places: &Places, root: &Root) -> Result<(), CreateError> {
    let directory = places.platform_files();
    fs::create_dir_all(&directory).map_err(CreateError::on_path("create", &directory))?;
    let contents = [
        ("resolv.conf", spec.resolv_conf.as_str()),
        (HOSTS, HOSTS_BEFORE_NETWORK),
        ("hostname", &format!("{}\n", spec.hostname)),
    ];
    for (name, text) in contents {
        let file = directory.join(name);
        write(&file, text, spec.id_base).map_err(CreateError::on_path("write", &file))?;
        let mount = idmap::clone_mount(&file)?;
        idmap::make_read_only(&mount).map_err(CreateError::on_path("make read-only", &file))?;
        let target = format!("/etc/{name}");
        root.remove_link(&target).map_err(CreateError::on(format!(
            "replace the link {target} in the instance"
        )))?;
        root.attach(&mount, &target, PointKind::File, spec.id_base)?;
    }
    Ok(())
}

/// Changes the text in place: the mount shows the same file.
pub(crate) fn write_hosts(places: &Places, hosts: &str) -> io::Result<()> {
    fs::write(places.platform_files().join(HOSTS), hosts)
}

fn write(file: &Path, text: &str, owner: u32) -> io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
    chown(file, Some(owner), Some(owner))
}

//! Removes everything of an instance but its log and record. Each step is tried whatever became of the others.

use std::{fs, io, path::Path, time::Duration};

use mainstay_shim::{
    cgroup::Cgroup,
    files::{COPIES_DIRECTORY, WRITABLE_DIRECTORY},
    owners,
    spec::ShimSpec,
};
use rustix::mount::{UnmountFlags, unmount};

use crate::{chain, create::Places, runtime::Runtime};

/// Killing is immediate unless a process hangs in the kernel.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Gives what the instance wrote the owners that it saw; the faults, in words. A process of a failed start may still be there.
pub(crate) fn give_back(spec: &ShimSpec) -> Vec<String> {
    if owners::writable_trees(spec).is_empty() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let cgroup = Cgroup::new(&spec.cgroup_root, &spec.cgroup_path);
    if let Err(error) = cgroup.kill_all(KILL_DEADLINE) {
        faults.push(chain(&error));
    }
    faults.extend(owners::give_back(spec).iter().map(|error| chain(error)));
    faults
}

/// The faults, in words. What the runtime made are cgroups, mounts of this namespace and its state below the run directory: they go without
/// it, for to start it takes longer than all the rest.
pub(crate) fn clean_up(spec: &ShimSpec, places: &Places) -> Vec<String> {
    let mut faults = Vec::new();
    let cgroup = Cgroup::new(&spec.cgroup_root, &spec.cgroup_path);
    if let Err(error) = cgroup.kill_all(KILL_DEADLINE) {
        faults.push(chain(&error));
        // It may have frozen them, and knows how to thaw.
        if let Err(error) = Runtime::new(spec, &places.run_dir).delete() {
            faults.push(chain(&error));
        }
    }
    if let Err(error) = cgroup.remove() {
        faults.push(chain(&error));
    }
    // Only in this namespace, which ends with this process anyhow; but what is mounted would hide what is to be removed.
    let _ = unmount(places.mounts(), UnmountFlags::DETACH);
    for directory in [
        spec.data_dir.join(WRITABLE_DIRECTORY),
        spec.data_dir.join(COPIES_DIRECTORY),
        places.run_dir.clone(),
    ] {
        if let Err(error) = remove_directory(&directory) {
            faults.push(format!("cannot remove {}: {error}", directory.display()));
        }
    }
    faults
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

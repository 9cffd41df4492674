//! From the spec to a created container: a private mount namespace, the root file system in it, the OCI bundle, `create`.
//!
//! Everything is mounted below `<run directory>/mounts`, in a namespace that only the shim and the container see: when both are
//! gone, the kernel has removed all of it, however they ended.

mod disk;
mod idmap;
mod inside;
mod overlay;
mod platform_files;
pub(crate) mod probe;
mod scratch;
mod volume_image;
mod volumes;

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
};

use mainstay_shim::{
    cgroup::Cgroup,
    owners::{self, Block, Direction, MoveError},
    process::ProcessIdentity,
    spec::ShimSpec,
};
use rustix::{
    fs::{FlockOperation, flock},
    mount::{MountPropagationFlags, mount_change},
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    bundle::{self, BundleError},
    prompt_moves::PromptMoves,
    runtime::{ChildStreams, Runtime, RuntimeError},
    system,
    watch::Taps,
};

pub(crate) use platform_files::write_hosts;

/// A container that waits to be started.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) init: ProcessIdentity,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) report: OwnedFd,
    pub(crate) cgroup: Cgroup,
    pub(crate) runtime: Runtime,
    /// Opened before the app is there, so that its first connect is seen.
    pub(crate) taps: Taps,
    /// Locks, for as long as the instance lives.
    pub(crate) held: Vec<File>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("cannot {operation}")]
    Io {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error("what the instance may write to could not be given to it")]
    Owners(#[source] MoveError),
    #[error("the OCI bundle could not be written")]
    Bundle(#[source] BundleError),
    #[error("the OCI runtime failed")]
    Runtime(#[source] RuntimeError),
    #[error("the container's first process {pid} was gone at once")]
    InitGone { pid: i32 },
}

impl CreateError {
    pub(crate) fn on(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }

    pub(crate) fn on_path(operation: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::on(format!("{operation} {}", path.display()))
    }
}

/// Where things are during the life of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) run_dir: PathBuf,
}

impl Places {
    /// Where a tmpfs holds the mount points; an empty directory outside the namespace.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.run_dir.join("mounts")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.mounts().join("root")
    }

    pub(crate) fn init(&self) -> PathBuf {
        self.mounts().join("init")
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.run_dir.join("bundle")
    }

    pub(crate) fn platform_files(&self) -> PathBuf {
        self.run_dir.join("files")
    }
}

pub(crate) fn create(spec: &ShimSpec, places: &Places) -> Result<Created, CreateError> {
    enter_private_namespace()?;
    let mut held = hold(&spec.held)?;
    let owners = idmap::Owners::new(spec.owners, spec.id_base)?;
    move_in(spec)?;
    scratch::prepare(&places.mounts())?;
    let writable = disk::prepare(spec, &places.mounts(), owners.on_disk())?;
    overlay::mount_root(spec, places, &owners, &writable)?;
    let root = inside::Root::open(&places.root())?;
    held.extend(volumes::mount_all(spec, places, &owners, &root)?);
    platform_files::mount_all(spec, places, &root)?;
    place_init(spec, places)?;
    bundle::write(spec, places).map_err(CreateError::Bundle)?;
    run_create(spec, places, held)
}

/// Locks what the engine's store could remove as unused. The kernel unlocks it when the shim ends, however it ends.
fn hold(directories: &[PathBuf]) -> Result<Vec<File>, CreateError> {
    let hold = |directory: &PathBuf| {
        let file = File::open(directory)?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        Ok(file)
    };
    directories
        .iter()
        .map(|directory| hold(directory).map_err(CreateError::on_path("lock", directory)))
        .collect()
}

/// Gives the instance what it may write to, where its owners cannot be mapped.
fn move_in(spec: &ShimSpec) -> Result<(), CreateError> {
    let block = || Block::new(spec.id_base);
    owners::writable_trees(spec)
        .iter()
        .try_for_each(|tree| owners::move_tree(tree, block(), Direction::ToHost))
        .map_err(CreateError::Owners)
}

/// Nothing mounted here is seen by the host. What the host unmounts is unmounted here too where the host's mounts are shared, so
/// that no instance keeps a disk of the host busy.
fn enter_private_namespace() -> Result<(), CreateError> {
    system::unshare_mount_namespace().map_err(CreateError::on("leave the mount namespace of the host"))?;
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(io::Error::from)
    .map_err(CreateError::on("make the mounts of the host one-way"))
}

/// The path to init's own file may be closed to the container's root user; a bind mount beside the root file system is not.
fn place_init(spec: &ShimSpec, places: &Places) -> Result<(), CreateError> {
    let target = places.init();
    fs::write(&target, b"").map_err(CreateError::on_path("create", &target))?;
    let mount = idmap::clone_mount(&spec.init)?;
    idmap::make_read_only(&mount).map_err(CreateError::on("make init read-only"))?;
    idmap::attach_at(&mount, &target)
}

fn run_create(spec: &ShimSpec, places: &Places, held: Vec<File>) -> Result<Created, CreateError> {
    let runtime = Runtime::new(spec, &places.run_dir);
    let pipe = || {
        pipe_with(PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .map_err(CreateError::on("make a pipe"))
    };
    let (stdout, child_stdout) = pipe()?;
    let (stderr, child_stderr) = pipe()?;
    let (report, child_report) = pipe()?;
    let streams = ChildStreams {
        stdin: Stdio::null(),
        stdout: child_stdout.into(),
        stderr: child_stderr.into(),
        report: child_report,
    };
    let prompt = PromptMoves::begin(&spec.cgroup_root);
    let pid = runtime
        .create(&places.bundle(), streams)
        .map_err(CreateError::Runtime)?;
    drop(prompt);
    Ok(Created {
        init: ProcessIdentity::of(pid).ok_or(CreateError::InitGone { pid })?,
        stdout,
        stderr,
        report,
        cgroup: Cgroup::new(&spec.cgroup_root, &spec.cgroup_path),
        runtime,
        taps: Taps::open(pid),
        held,
    })
}

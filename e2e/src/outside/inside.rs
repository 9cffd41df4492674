//! The server's side of it: the first process of its namespaces mounts its file system, enters it, and runs its commands there.
//!
//! It stays until the last command has ended. With the first process of a process namespace all others of it end, so whoever kills this one
//! leaves nothing running.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use mainstay_images::stack::USER_ID;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change},
    process::{chdir, chroot},
};
use serde::{Deserialize, Serialize};

/// What a server is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The highest first, as overlayfs has them.
    pub(super) layers: Vec<PathBuf>,
    /// Whose `root`, `writes` and `data` it has for itself.
    pub(super) directory: PathBuf,
    /// Where it sees `data`.
    pub(super) volume: PathBuf,
    /// One after the other; the last one serves.
    pub(super) steps: Vec<Step>,
}

/// A command inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    arguments: Vec<String>,
    /// A file inside that it reads on its standard input.
    input: Option<PathBuf>,
}

impl Step {
    pub(super) fn new(arguments: &[&str]) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            input: None,
        }
    }

    pub(super) fn reading(self, file: impl Into<PathBuf>) -> Self {
        Self {
            input: Some(file.into()),
            ..self
        }
    }

    /// As the image's user, to its end.
    fn run(&self) -> io::Result<ExitStatus> {
        let (program, arguments) = self
            .arguments
            .split_first()
            .ok_or_else(|| io::Error::other("a step without a program"))?;
        let input = match &self.input {
            Some(file) => Stdio::from(File::open(file)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(input).env("LANG", "C.UTF-8");
        command.uid(USER_ID).gid(USER_ID).status()
    }
}

/// Carries the plan in the file out, in a mount namespace and a process namespace of its own. Returns when the server has ended well.
///
/// # Errors
/// What could not be mounted, or which step ended otherwise.
pub fn serve(plan: &Path) -> io::Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(plan)?)?;
    enter(&plan)?;
    for step in &plan.steps {
        let status = step.run()?;
        if !status.success() {
            return Err(io::Error::other(format!("{:?}: {status}", step.arguments)));
        }
    }
    Ok(())
}

fn enter(plan: &Plan) -> io::Result<()> {
    let (root, writes) = (plan.directory.join("root"), plan.directory.join("writes"));
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("tmpfs", &writes, "tmpfs", MountFlags::empty(), None)?;
    let (upper, work) = (writes.join("upper"), writes.join("work"));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let layers: Vec<String> = plan
        .layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        upper.display(),
        work.display()
    );
    let options = CString::new(options)?;
    mount(
        "overlay",
        &root,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )?;
    let volume = root.join(plan.volume.strip_prefix("/").unwrap_or(&plan.volume));
    fs::create_dir_all(&volume)?;
    mount_bind(plan.directory.join("data"), &volume)?;
    mount("proc", root.join("proc"), "proc", MountFlags::empty(), None)?;
    mount_bind_recursive("/dev", root.join("dev"))?;
    chroot(&root)?;
    Ok(chdir("/")?)
}

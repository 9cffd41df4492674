//! Checks a command against the image's files, before anything runs: does it exist, may it be executed, can the kernel load it.
//!
//! The checks follow `execvp(3)` and `execve(2)`. What lies below a mount of the instance is not known here and passes.

mod format;
mod permission;
mod shell;
mod similar;

use std::path::{Path, PathBuf};

use mainstay_diagnosis::facts::{ExecFault, ExecFaultKind};
use mainstay_images::tree::{LayerTree, Node, TreeError};

use crate::api::InstanceSpec;

use super::{
    environment,
    users::{self, User},
};

/// The image as the instance would see it.
struct View<'a> {
    spec: &'a InstanceSpec,
    tree: LayerTree,
    user: User,
    working_dir: PathBuf,
    search_path: String,
}

/// What a command's name led to.
enum Resolved {
    File(Box<Node>),
    /// Below a mount, or the check cannot know.
    Unknown,
}

/// `Ok(Some)`: the command cannot be executed, and why.
pub(super) fn check(spec: &InstanceSpec) -> Result<Option<ExecFault>, TreeError> {
    let fault = |kind| Ok(Some(fault(spec, kind)));
    if spec.argv.is_empty() {
        return fault(ExecFaultKind::NoRunCommand {
            looked_for: Vec::new(),
        });
    }
    let tree = LayerTree::new(&spec.layers);
    let user = match users::look_up(&tree, spec.user.as_deref())? {
        Ok(user) => user,
        Err(unknown) => return fault(ExecFaultKind::UserUnknown { user: unknown.0 }),
    };
    let view = View {
        spec,
        tree,
        user,
        working_dir: PathBuf::from(environment::working_dir(&spec.working_dir)),
        search_path: spec
            .env
            .get("PATH")
            .map_or(environment::DEFAULT_PATH, String::as_str)
            .to_owned(),
    };
    if !view.has_working_dir()? {
        let path = view.working_dir.to_string_lossy().into_owned();
        return fault(ExecFaultKind::WorkingDirectoryMissing { path });
    }
    if let Some(found) = view.check_command(&spec.argv[0], false)? {
        return Ok(Some(found));
    }
    match shell::first_word(&spec.argv) {
        // The shell is there; what it would execute is not.
        Some(word) => Ok(view.check_command(word, true)?.map(|found| ExecFault {
            argv: vec![word.to_owned()],
            ..found
        })),
        None => Ok(None),
    }
}

fn fault(spec: &InstanceSpec, kind: ExecFaultKind) -> ExecFault {
    ExecFault {
        argv: spec.argv.clone(),
        kind,
        resolved_path: None,
        errno: None,
        search_path: None,
        close_matches: Vec::new(),
        preflight: true,
    }
}

impl View<'_> {
    fn has_working_dir(&self) -> Result<bool, TreeError> {
        if self.is_below_mount(&self.working_dir) {
            return Ok(true);
        }
        Ok(self
            .tree
            .find(&self.working_dir)?
            .is_some_and(|node| node.metadata.is_dir()))
    }

    /// `by_shell`: a shell executes it.
    fn check_command(&self, name: &str, by_shell: bool) -> Result<Option<ExecFault>, TreeError> {
        let node = match self.resolve(name)? {
            Ok(Resolved::File(node)) => *node,
            Ok(Resolved::Unknown) => return Ok(None),
            Err(found) => return Ok(Some(*found)),
        };
        let kind = format::check(self, &node, by_shell)?;
        Ok(kind.map(|kind| ExecFault {
            resolved_path: Some(node.path.to_string_lossy().into_owned()),
            ..fault(self.spec, kind)
        }))
    }

    /// The file that would be executed, or why there is none.
    fn resolve(&self, name: &str) -> Result<Result<Resolved, Box<ExecFault>>, TreeError> {
        let by_path = !name.contains('/');
        let mut refusal: Option<ExecFault> = None;
        for candidate in self.candidates(name) {
            if self.is_below_mount(&candidate) {
                return Ok(Ok(Resolved::Unknown));
            }
            let Some(node) = self.tree.find(&candidate)? else {
                continue;
            };
            let kind = if node.metadata.is_dir() {
                ExecFaultKind::IsDirectory
            } else if permission::may_execute(&node.metadata, &self.user) {
                return Ok(Ok(Resolved::File(Box::new(node))));
            } else {
                let mode = Some(std::os::unix::fs::MetadataExt::mode(&node.metadata) & 0o7777);
                ExecFaultKind::NotExecutable { mode }
            };
            // A directory of PATH may hold a directory of that name; the search goes on, as execvp's does.
            if refusal.is_none() {
                refusal = Some(ExecFault {
                    resolved_path: Some(node.path.to_string_lossy().into_owned()),
                    ..fault(self.spec, kind)
                });
            }
        }
        let mut fault = match refusal {
            Some(refusal) => refusal,
            None => ExecFault {
                close_matches: similar::close_matches(self, name)?,
                ..fault(self.spec, ExecFaultKind::NotFound)
            },
        };
        fault.search_path = by_path.then(|| self.search_path.clone());
        Ok(Err(Box::new(fault)))
    }

    /// The paths that would be tried.
    fn candidates(&self, name: &str) -> Vec<PathBuf> {
        if name.is_empty() {
            return Vec::new();
        }
        if name.contains('/') {
            return vec![self.working_dir.join(name)];
        }
        self.path_directories()
            .map(|directory| directory.join(name))
            .collect()
    }

    fn path_directories(&self) -> impl Iterator<Item = PathBuf> {
        self.search_path
            .split(':')
            .map(|directory| self.working_dir.join(directory))
    }

    fn is_below_mount(&self, path: &Path) -> bool {
        self.spec
            .mounts
            .iter()
            .any(|mount| path.starts_with(&mount.target))
    }

    /// Whether the image has a file at an absolute path; what is below a mount may be there.
    fn has_file(&self, path: &Path) -> Result<bool, TreeError> {
        Ok(self.is_below_mount(path) || self.tree.find(path)?.is_some())
    }
}

#[cfg(test)]
mod tests;

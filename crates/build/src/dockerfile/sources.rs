//! Finds Dockerfile, context and ignore file in the checked-out source, and runs the pre-flight on them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mainstay_diagnosis::facts::BuildFault;

use super::{
    ignore_file::IgnoreFile,
    paths::{PathFault, clean_relative, resolve_inside},
    preflight::{ContextView, Plan, PreflightInput, check_context, preflight},
    request::DockerfileRequest,
};
use crate::{
    findings::FindingContext,
    source::{SourceTree, platform_fault},
};

/// A Dockerfile larger than this is none.
const DOCKERFILE_MAX_BYTES: u64 = 4 << 20;
const FOUND_MAX: usize = 20;
const SEARCH_DEPTH: usize = 4;

/// What the build will read, all checked.
#[derive(Debug)]
pub(crate) struct Sources {
    pub context: PathBuf,
    /// The user's text.
    pub text: String,
    /// The rules in force; empty when there is no ignore file.
    pub ignore_text: String,
    pub plan: Plan,
    /// What the output of steps is held against.
    pub findings: FindingContext,
}

/// The whole pre-flight; reads files, so it blocks.
pub(crate) fn load(request: &DockerfileRequest, architecture: &str) -> Result<Sources, BuildFault> {
    let root = &request.source_root;
    let context = context(root, &request.source_dir)?;
    let path = dockerfile_path(request);
    let text = dockerfile(root, &path)?;
    let variables: BTreeMap<String, String> = request
        .variables
        .iter()
        .map(|(name, variable)| (name.clone(), variable.value.clone()))
        .collect();
    let plan = preflight(&PreflightInput {
        path: &path,
        text: &text,
        architecture,
        variables: &variables,
        target: request.target.as_deref(),
    })?;
    let (ignore_name, ignore_text) = ignore_file(root, &context, &path)?;
    let findings = finding_context(request, &context)?
        .with_context_rules(&ignore_name, &ignore_text)
        .setting(&text);
    check_context(
        &plan,
        &ContextView {
            root: &context,
            name: context_name(&request.source_dir),
            ignore: &IgnoreFile::parse(&ignore_text),
            ignore_name: &ignore_name,
            findings: &findings,
        },
    )?;
    Ok(Sources {
        context,
        text,
        ignore_text,
        plan,
        findings,
    })
}

fn finding_context(request: &DockerfileRequest, context: &Path) -> Result<FindingContext, BuildFault> {
    let open = || -> std::io::Result<_> {
        let root = request.source_root.canonicalize()?;
        Ok((SourceTree::open(&root)?, SourceTree::open(context)?))
    };
    let (repository, tree) = open().map_err(|error| platform_fault("reading the source", &error))?;
    Ok(FindingContext::read(
        &repository,
        &tree,
        request.variables.keys().cloned(),
    ))
}

fn context_name(source_dir: &str) -> &str {
    if clean_relative(source_dir).is_empty() {
        "/"
    } else {
        source_dir
    }
}

fn dockerfile_path(request: &DockerfileRequest) -> String {
    match &request.dockerfile_path {
        Some(path) => clean_relative(path),
        None => clean_relative(&format!("{}/Dockerfile", request.source_dir)),
    }
}

fn context(root: &Path, source_dir: &str) -> Result<PathBuf, BuildFault> {
    match resolve_inside(root, source_dir) {
        Ok(path) if path.is_dir() => Ok(path),
        Err(PathFault::Outside) => Err(BuildFault::SourceRefused {
            path: source_dir.to_owned(),
            rule: "source_dir must stay inside the source".to_owned(),
        }),
        _ => Err(BuildFault::SourceDirMissing {
            source_dir: source_dir.to_owned(),
            existing: directories(root),
        }),
    }
}

fn directories(root: &Path) -> Vec<String> {
    found(root, |entry| entry.file_type().is_dir())
}

fn dockerfile(root: &Path, path: &str) -> Result<String, BuildFault> {
    let real = match resolve_inside(root, path) {
        Ok(real) if real.is_file() => real,
        Err(PathFault::Outside) => {
            return Err(BuildFault::SourceRefused {
                path: path.to_owned(),
                rule: "the Dockerfile must not be a link out of the source".to_owned(),
            });
        }
        _ => {
            return Err(BuildFault::DockerfileMissing {
                path: path.to_owned(),
                existing: dockerfiles(root),
            });
        }
    };
    let invalid = |message: &str| BuildFault::DockerfileInvalid {
        path: path.to_owned(),
        line: None,
        message: message.to_owned(),
    };
    let size = fs::metadata(&real).map_or(0, |metadata| metadata.len());
    if size > DOCKERFILE_MAX_BYTES {
        return Err(invalid("the file is larger than 4 MiB"));
    }
    let bytes = fs::read(&real).map_err(|error| invalid(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid("the file is no UTF-8 text"))?;
    // Windows line ends would become part of commands.
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// Files that look like a Dockerfile, for the message.
fn dockerfiles(root: &Path) -> Vec<String> {
    found(root, |entry| {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        entry.file_type().is_file() && (name.starts_with("dockerfile") || name.ends_with(".dockerfile"))
    })
}

fn found(root: &Path, wanted: impl Fn(&walkdir::DirEntry) -> bool) -> Vec<String> {
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .max_depth(SEARCH_DEPTH)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !matches!(entry.file_name().to_str(), Some(".git" | "node_modules")))
        .flatten()
        .filter(|entry| wanted(entry))
        .filter_map(|entry| entry.path().strip_prefix(root).ok()?.to_str().map(str::to_owned))
        .take(FOUND_MAX)
        .collect()
}

/// `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` of the context: (name for messages, text).
fn ignore_file(root: &Path, context: &Path, dockerfile: &str) -> Result<(String, String), BuildFault> {
    let own = format!("{dockerfile}.dockerignore");
    let context_in_source = root
        .canonicalize()
        .ok()
        .and_then(|root| context.strip_prefix(root).ok()?.to_str().map(str::to_owned))
        .unwrap_or_default();
    let general = clean_relative(&format!("{context_in_source}/.dockerignore"));
    for name in [own, general] {
        match resolve_inside(root, &name) {
            Ok(real) if real.is_file() => {
                let text = fs::read(&real).unwrap_or_default();
                return Ok((name, String::from_utf8_lossy(&text).into_owned()));
            }
            Err(PathFault::Outside) => {
                return Err(BuildFault::SourceRefused {
                    path: name,
                    rule: "the ignore file must not be a link out of the source".to_owned(),
                });
            }
            _ => {}
        }
    }
    Ok((".dockerignore".to_owned(), String::new()))
}

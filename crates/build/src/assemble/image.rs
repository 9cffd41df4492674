//! The image of a buildpack build.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use jiff::Timestamp;
use mainstay_images::{
    ImageStore,
    record::{ImageConfig, ImageRecord, LayerId},
    stack::StackImage,
};

use crate::{
    execute::BUILD_USER,
    plan::{BuildPlan, OnlyProgram},
    toolchain::ResolvedTools,
};

/// What an image is made of.
#[derive(Debug)]
pub(crate) struct ImageParts<'a> {
    pub(crate) stack: &'a StackImage,
    pub(crate) plan: &'a BuildPlan,
    pub(crate) tools: &'a ResolvedTools,
    /// Dependencies, then the app.
    pub(crate) layers: Vec<LayerId>,
    pub(crate) app_directory: &'a str,
    pub(crate) processes: BTreeMap<String, String>,
    pub(crate) origin: String,
}

pub(crate) fn image_record(store: &ImageStore, parts: ImageParts<'_>) -> ImageRecord {
    let config = config(&parts);
    let mut layers = parts.stack.run.layers.clone();
    layers.extend(parts.tools.run_layers.iter().cloned());
    layers.extend(parts.layers);
    ImageRecord {
        id: store.new_image_id(),
        layers,
        config,
        created_at: Timestamp::now(),
        origin: parts.origin,
        digest: None,
    }
}

fn config(parts: &ImageParts<'_>) -> ImageConfig {
    let mut env = parts.stack.run.config.env.clone();
    env.extend(parts.plan.run_environment.clone());
    let usual = env.remove("PATH").unwrap_or_default();
    env.insert(
        "PATH".to_owned(),
        search_path(&parts.plan.path, &parts.tools.run_path, &usual),
    );
    env.insert("HOME".to_owned(), parts.app_directory.to_owned());
    ImageConfig {
        env,
        entrypoint: Vec::new(),
        command: Vec::new(),
        working_dir: Some(parts.app_directory.to_owned()),
        user: Some(format!("{}:{}", BUILD_USER.0, BUILD_USER.1)),
        exposed_ports: Vec::new(),
        stop_signal: None,
        processes: parts.processes.clone(),
        run_by_shell: true,
    }
}

/// The app's own directories first, then the tools', then the stack's.
pub(crate) fn search_path(app: &[String], tools: &[String], usual: &str) -> String {
    let mut directories: Vec<&str> = app.iter().chain(tools).map(String::as_str).collect();
    directories.extend(usual.split(':').filter(|directory| !directory.is_empty()));
    directories.join(":")
}

/// The declared processes, and `web` where only the finished build can tell it.
pub(crate) fn processes(plan: &BuildPlan, app: &Path) -> BTreeMap<String, String> {
    let mut processes = plan.processes.declared.clone();
    if !processes.contains_key("web")
        && let Some(only) = &plan.processes.only_program_in
        && let Some(program) = only_program(only, app)
    {
        processes.insert("web".to_owned(), format!("{}/{program}", only.directory));
    }
    processes
}

/// The programs of which none could be chosen.
pub(crate) fn several_programs(plan: &BuildPlan, app: &Path) -> Vec<String> {
    let only = plan.processes.only_program_in.as_ref();
    let paths = only.map(|only| {
        let names = programs(only, app).into_iter();
        names.map(|name| format!("{}/{name}", only.directory)).collect()
    });
    paths
        .filter(|paths: &Vec<String>| paths.len() > 1)
        .unwrap_or_default()
}

fn programs(only: &OnlyProgram, app: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(app.join(&only.directory)) else {
        return Vec::new();
    };
    let is_program = |entry: &fs::DirEntry| {
        let metadata = entry.metadata().ok();
        metadata.is_some_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let mut programs: Vec<String> = entries
        .flatten()
        .filter(is_program)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    programs.sort();
    programs
}

fn only_program(only: &OnlyProgram, app: &Path) -> Option<String> {
    match programs(only, app).as_slice() {
        [program] => Some(program.clone()),
        several => only
            .preferred
            .clone()
            .filter(|preferred| several.contains(preferred)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str], preferred: &str) -> Option<String> {
        let app = tempfile::tempdir().unwrap();
        fs::create_dir(app.path().join("bin")).unwrap();
        for name in names {
            let path = app.path().join("bin").join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let only = OnlyProgram {
            directory: "bin".to_owned(),
            preferred: Some(preferred.to_owned()),
        };
        only_program(&only, app.path())
    }

    #[test]
    fn the_only_program_is_the_default_process() {
        assert_eq!(only(&["server"], "api").as_deref(), Some("server"));
        assert_eq!(only(&["api", "migrate"], "api").as_deref(), Some("api"));
        assert_eq!(only(&["a", "b"], "api"), None);
        assert_eq!(only(&[], "api"), None);
    }

    #[test]
    fn the_app_comes_first_in_the_search_path() {
        let path = search_path(
            &["/workspace/bin".to_owned()],
            &["/opt/x/bin".to_owned()],
            "/usr/bin:/bin",
        );
        assert_eq!(path, "/workspace/bin:/opt/x/bin:/usr/bin:/bin");
    }
}

//! `mainstay deploy`: from a folder to a serving app.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use mainstay_api::{App, AppResponse, ErrorId};
use mainstay_spec::{AppSpec, GitSource, Problem, Service, Sources, SpecError};

use super::{
    follow,
    spec::{load, warn},
};
use crate::{args::Deploy, client::Client, error::CliError, output::Output, pack::pack};

const SPEC_FILES: [&str; 4] = [
    ".do/app.yaml",
    ".do/app.yml",
    "app.yaml",
    ".do/deploy.template.yaml",
];

pub(super) async fn deploy(client: &Client, output: &Output, wish: Deploy) -> Result<ExitCode, CliError> {
    let mut spec = spec(&wish)?;
    let archive = pack(&wish.directory)?;
    eprintln!(
        "› uploading {} ({} KiB packed)",
        wish.directory.display(),
        archive.len().div_ceil(1024)
    );
    let source = client.upload(archive).await?;
    use_folder(&mut spec, &source);
    let answer = create_or_update(client, &spec, wish.allow_losses).await?;
    let app = answer.app.id.clone();
    let mut deployment = answer.deployment_id;
    if wish.force_build {
        deployment = client.create_deployment(&app, true).await?.id;
    }
    if wish.no_wait {
        output.data(&answer.app, || {
            format!("Deployment {deployment} of {} is under way.", spec.name)
        });
        return Ok(ExitCode::SUCCESS);
    }
    let code = follow(client, output, &app, &deployment).await?;
    if code == ExitCode::SUCCESS && !output.is_json() {
        println!("{} serves at {}", spec.name, client.app(&app).await?.live_url);
    }
    Ok(code)
}

/// The spec given, the one in the folder, or one service that is whatever the folder is.
fn spec(wish: &Deploy) -> Result<AppSpec, CliError> {
    let in_folder = || {
        SPEC_FILES
            .iter()
            .map(|file| wish.directory.join(file))
            .find(|file| file.is_file())
    };
    let Some(file) = wish.spec.clone().or_else(in_folder) else {
        return Ok(plain(&wish.directory));
    };
    let parsed = load(&file, Sources::Optional)?;
    warn(&parsed, &file);
    Ok(parsed.spec)
}

fn plain(directory: &Path) -> AppSpec {
    let directory: PathBuf = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let name = directory
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let service = Service {
        name: "web".into(),
        ..Service::default()
    };
    AppSpec {
        name: app_name(&name),
        services: vec![service],
        ..AppSpec::default()
    }
}

/// A valid app name that looks like the folder's.
fn app_name(folder: &str) -> String {
    let mapped = folder.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    });
    let name: String = mapped
        .skip_while(|letter| !letter.is_ascii_lowercase())
        .take(32)
        .collect();
    let name = name.trim_end_matches('-');
    if name.len() < 2 {
        "my-app".to_owned()
    } else {
        name.to_owned()
    }
}

/// Every component that is built from code is built from the folder, wherever its spec says that the code is.
fn use_folder(spec: &mut AppSpec, source: &str) {
    let folder = || {
        Some(GitSource {
            repo_clone_url: source.to_owned(),
            branch: None,
        })
    };
    macro_rules! each {
        ($components:expr, $has_image:expr) => {
            for component in $components.iter_mut().filter($has_image) {
                component.git = folder();
                component.github = None;
                component.gitlab = None;
                component.bitbucket = None;
            }
        };
    }
    each!(spec.services, |component| component.image.is_none());
    each!(spec.workers, |component| component.image.is_none());
    each!(spec.jobs, |component| component.image.is_none());
    each!(spec.static_sites, |_| true);
}

pub(super) async fn create_or_update(
    client: &Client,
    spec: &AppSpec,
    allow_losses: bool,
) -> Result<AppResponse, CliError> {
    match client.app(&spec.name).await {
        Ok(app) => update(client, &app, spec, true, allow_losses).await,
        Err(CliError::Refused { body }) if body.id == ErrorId::NotFound => client.create_app(spec).await,
        Err(error) => Err(error),
    }
}

/// Replaces the app's spec. What it would lose by that is an error, unless it may; then it is told.
pub(super) async fn update(
    client: &Client,
    app: &App,
    spec: &AppSpec,
    update_sources: bool,
    allow_losses: bool,
) -> Result<AppResponse, CliError> {
    let lost = |error: &&SpecError| error.problem == Problem::Lost;
    match client
        .update_app(&app.id, spec, update_sources, allow_losses)
        .await
    {
        Ok(answer) => {
            for warning in answer.warnings.iter().filter(lost) {
                eprintln!("warning: {}: {}", warning.path, warning.rule);
            }
            Ok(answer)
        }
        Err(CliError::Refused { body }) if body.errors.iter().any(|error| lost(&error)) => {
            let named = body
                .errors
                .iter()
                .map(|error| format!("  {}: {}\n", error.path, error.rule));
            Err(CliError::Usage(format!(
                "a spec replaces the whole one before, and {} would lose by this one:\n{}Take them from `mainstay spec get {}`, or give --allow-losses.",
                app.spec.name,
                named.collect::<String>(),
                app.spec.name
            )))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_become_app_names() {
        assert_eq!(app_name("my_shop.v2"), "my-shop-v2");
        assert_eq!(app_name("2048"), "my-app");
        assert_eq!(
            app_name("a-very-long-folder-name-that-goes-on-and-on"),
            "a-very-long-folder-name-that-goe"
        );
    }
}

//! `mainstay spec`.

use std::{path::Path, process::ExitCode};

use mainstay_spec::{Format, ParsedSpec, Sources, parse_with, render_errors, render_warnings, unsupported};

use super::read;
use crate::{args::Spec, client::Client, error::CliError, output::Output};

pub(super) async fn run(
    client: impl Fn() -> Result<Client, CliError>,
    output: &Output,
    command: Spec,
) -> Result<ExitCode, CliError> {
    match command {
        Spec::Validate { file, .. } => validate(output, &file),
        Spec::Get { app, deployment } => get(&client()?, output, &app, deployment.as_deref()).await,
    }
}

async fn get(
    client: &Client,
    output: &Output,
    app: &str,
    deployment: Option<&str>,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let spec = match deployment {
        Some(id) => client.deployment(&app.id, id).await?.spec,
        None => app.spec,
    };
    let as_json = match output.columns() {
        [] => false,
        [word] if word == "yaml" => false,
        [word] if word == "json" => true,
        words => {
            let given = words.join(",");
            return Err(CliError::Usage(format!(
                "--format: a spec is written as `yaml` or `json`, not as `{given}`"
            )));
        }
    };
    output.data(&spec, || {
        if as_json {
            serde_json::to_string_pretty(&spec).unwrap_or_default()
        } else {
            spec.to_yaml()
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn validate(output: &Output, file: &Path) -> Result<ExitCode, CliError> {
    let parsed = load(file, Sources::Required)?;
    warn(&parsed, file);
    output.data(&parsed.spec, || parsed.spec.to_yaml());
    Ok(ExitCode::SUCCESS)
}

/// Reads a spec; everything that is wrong with it, or that this version cannot run, is one error.
pub(super) fn load(file: &Path, sources: Sources) -> Result<ParsedSpec, CliError> {
    let text = read(file)?;
    let name = file.display().to_string();
    let parsed = parse_with(&text, Format::Auto, sources)
        .map_err(|errors| CliError::Spec(render_errors(errors.as_slice(), &name)))?;
    let refused = parsed.located(unsupported(&parsed.spec));
    if refused.is_empty() {
        Ok(parsed)
    } else {
        Err(CliError::Spec(render_errors(&refused, &name)))
    }
}

/// What is accepted, but not as the user may think.
pub(super) fn warn(parsed: &ParsedSpec, file: &Path) {
    let name = file.display().to_string();
    eprint!("{}", render_warnings(&parsed.warnings, &name));
}

//! `mainstay explain`.

use std::process::ExitCode;

use serde_json::json;

use super::{deployments::find, outcome};
use crate::{args::Explain, client::Client, error::CliError, output::Output};

/// A word of the reference, else an app.
pub(super) async fn explain(
    client: impl Fn() -> Result<Client, CliError>,
    output: &Output,
    wish: Explain,
) -> Result<ExitCode, CliError> {
    let unknown = match mainstay_diagnosis::explain(&wish.topic) {
        Ok(page) if wish.deployment.is_none() => {
            let data = json!({
                "name": page.name,
                "title": page.title,
                "meaning": page.meaning,
                "decided_by": page.decided_by,
                "evidence": page.evidence,
                "retried": page.retried,
                "next_step": page.next_step,
                "see_also": page.see_also,
            });
            output.data(&data, || page.to_string());
            return Ok(ExitCode::SUCCESS);
        }
        Ok(_) => None,
        Err(unknown) => Some(unknown),
    };
    match client()?.app(&wish.topic).await {
        Ok(app) => {
            let found = find(&client()?, &app.id, wish.deployment.as_deref()).await?;
            output.data(&found, || outcome(&found));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match unknown {
            Some(unknown) => Err(CliError::Usage(unknown.to_string())),
            None => Err(error),
        },
    }
}

//! Waiting for a deployment, and showing how far it is.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use mainstay_api::{Deployment, Phase, Step, StepStatus};

use crate::{client::Client, error::CliError};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the deployment ended. Each step is a line on standard error when it begins to say something new; reasons are shown as soon as
/// they are known.
pub(crate) async fn wait(
    client: &Client,
    app: &str,
    deployment: &str,
    quiet: bool,
) -> Result<Deployment, CliError> {
    let mut shown = Shown::default();
    loop {
        let current = client.deployment(app, deployment).await?;
        if !quiet {
            shown.update(&current);
        }
        if current.phase.is_final() {
            shown.end();
            return Ok(current);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[derive(Default)]
struct Shown {
    /// Step → what was last said about it.
    said: HashMap<String, (StepStatus, Option<String>)>,
    bar: Option<indicatif::ProgressBar>,
}

impl Shown {
    fn update(&mut self, deployment: &Deployment) {
        let Some(progress) = &deployment.progress else {
            return;
        };
        for step in progress.steps.iter().flat_map(Step::leaves) {
            let hint = step.reason.as_ref().map(|reason| reason.message.clone());
            let news = (step.status, hint);
            let key = format!("{}/{}/{}", step.component_name, step.name, step.message_base);
            let known = self
                .said
                .get(&key)
                .cloned()
                .unwrap_or((StepStatus::Pending, None));
            if known != news && step.status != StepStatus::Pending {
                self.line(&sentence(step));
                self.said.insert(key, news);
            }
        }
        self.spin(deployment.phase);
    }

    /// On a terminal the line below the others moves while there is nothing new.
    fn spin(&mut self, phase: Phase) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(indicatif::ProgressBar::new_spinner);
        bar.set_message(phase.as_str().to_lowercase().replace('_', " "));
        bar.tick();
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => drop(writeln!(io::stderr(), "{text}")),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn sentence(step: &Step) -> String {
    let mark = match step.status {
        StepStatus::Success => "✔",
        StepStatus::Error => "✘",
        _ => "›",
    };
    let what = match (step.message_base.as_str(), step.component_name.as_str()) {
        ("", _) => step.name.clone(),
        (base, "") => base.to_owned(),
        (base, component) => format!("{base} {component}"),
    };
    let took = match (step.started_at, step.ended_at) {
        (Some(from), Some(to)) => format!(" ({:.1} s)", to.duration_since(from).as_secs_f64()),
        _ => String::new(),
    };
    let hint = match (&step.reason, step.status) {
        (Some(reason), StepStatus::Running) => format!(": {}", reason.message),
        (Some(reason), _) => format!(": {}", reason.code),
        (None, _) => String::new(),
    };
    format!("{mark} {what}{took}{hint}")
}

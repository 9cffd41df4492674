//! `mainstay apps` by the names that doctl has: what is ours does the work, and objects are lists of one in JSON.

use std::process::ExitCode;

use mainstay_api::{
    Alert, AlertDestinationsRequest, Buildpack, Event, InstanceSize, ProposeResponse, Region, SlackWebhook,
    Tier as AppTier, UpgradeBuildpackRequest,
};
use mainstay_spec::Sources;
use serde::{Deserialize, Serialize};

use super::{deployments, exec, follow, jobs, logs, outcome, read, spec};
use crate::{
    args::{AsDoctl, Exec, InstanceSizes, Question, Tier},
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

pub(super) async fn run(client: &Client, output: &Output, command: AsDoctl) -> Result<ExitCode, CliError> {
    match command {
        AsDoctl::Logs(wish) => logs::logs(client, output, wish).await,
        AsDoctl::Console {
            app,
            component,
            instance,
            instance_name,
        } => {
            let wish = Exec {
                app,
                component,
                instance: instance.or(instance_name),
                command: Vec::new(),
            };
            exec::exec(client, wish).await
        }
        AsDoctl::Spec(command) => spec::run(|| Ok(client.clone()), output, command).await,
        AsDoctl::CreateDeployment {
            app,
            force_rebuild,
            wait,
        } => create_deployment(client, output, &app, force_rebuild, wait).await,
        AsDoctl::Question(question) => {
            ask(client, output, question).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn ask(client: &Client, output: &Output, question: Question) -> Result<(), CliError> {
    match question {
        Question::GetDeployment { app, deployment } => {
            let app = client.app(&app).await?;
            let found = client.deployment(&app.id, &deployment).await?;
            output.one(&found, &deployments::COLUMNS, || outcome(&found))
        }
        Question::ListDeployments { app } => {
            let app = client.app(&app).await?;
            output.list(&client.deployments(&app.id).await?, &deployments::COLUMNS)
        }
        Question::ListJobInvocations {
            app,
            deployment,
            job_name,
        } => {
            let app = client.app(&app).await?;
            let runs = client.invocations(&app.id, &job_name, deployment.as_deref());
            output.list(&runs.await?, &jobs::COLUMNS)
        }
        Question::GetJobInvocation { app, invocation } => {
            let app = client.app(&app).await?;
            let run = client.invocation(&app.id, &invocation).await?;
            output.one(&run, &jobs::COLUMNS, || jobs::outcome(&run))
        }
        Question::CancelJobInvocation { app, invocation } => {
            output.check(&jobs::COLUMNS)?;
            let app = client.app(&app).await?;
            let run = client.cancel_invocation(&app.id, &invocation).await?;
            output.one(&run, &jobs::COLUMNS, || jobs::outcome(&run))
        }
        Question::ListEvents { app, event_type } => {
            let app = client.app(&app).await?;
            let kind = event_type.map(|kind| kind.to_uppercase());
            output.list(&client.events(&app.id, kind.as_deref()).await?, &EVENTS)
        }
        Question::GetEvent { app, event } => {
            let app = client.app(&app).await?;
            output.list(&[client.event(&app.id, &event).await?], &EVENTS)
        }
        Question::CancelEvent { app, event } => {
            output.check(&EVENTS)?;
            let app = client.app(&app).await?;
            output.list(&[client.cancel_event(&app.id, &event).await?], &EVENTS)
        }
        Question::ListRegions => output.list(&client.regions().await?, &REGIONS),
        Question::ListBuildpacks => output.list(&client.buildpacks().await?, &BUILDPACKS),
        Question::UpgradeBuildpack {
            app,
            buildpack,
            major_version,
            trigger_deployment,
        } => {
            let request = UpgradeBuildpackRequest {
                buildpack_id: buildpack,
                major_version,
                trigger_deployment,
            };
            upgrade_buildpack(client, output, &app, &request).await
        }
        Question::Propose { spec: file, app } => {
            let parsed = spec::load(&file, Sources::Required)?;
            spec::warn(&parsed, &file);
            let app = match app {
                Some(app) => Some(client.app(&app).await?.id),
                None => None,
            };
            let proposed = client.propose(&parsed.spec, app.as_deref()).await?;
            output.list(&[proposed], &PROPOSALS)
        }
        Question::ListAlerts { app } => {
            let app = client.app(&app).await?;
            output.list(&client.alerts(&app.id).await?, &ALERTS)
        }
        Question::UpdateAlertDestinations {
            app,
            alert,
            app_alert_destinations: file,
        } => {
            output.check(&ALERTS)?;
            let destinations = read_destinations(&read(&file)?, &file.display().to_string())?;
            let app = client.app(&app).await?;
            let alert = client.send_alert_to(&app.id, &alert, &destinations);
            output.list(&[alert.await?], &ALERTS)
        }
        Question::Tier(tier) => show_tiers(client, output, tier).await,
    }
}

async fn show_tiers(client: &Client, output: &Output, tier: Tier) -> Result<(), CliError> {
    match tier {
        Tier::List => output.list(&client.tiers().await?, &TIERS),
        Tier::Get { slug } => output.list(&[client.tier(&slug).await?], &TIERS),
        Tier::InstanceSize(InstanceSizes::List) => output.list(&client.instance_sizes().await?, &SIZES),
        Tier::InstanceSize(InstanceSizes::Get { slug }) => {
            output.list(&[client.instance_size(&slug).await?], &SIZES)
        }
    }
}

/// Shows the buildpack as it is after that.
async fn upgrade_buildpack(
    client: &Client,
    output: &Output,
    app: &str,
    request: &UpgradeBuildpackRequest,
) -> Result<(), CliError> {
    output.check(&BUILDPACKS)?;
    let app = client.app(app).await?;
    client.upgrade_buildpack(&app.id, request).await?;
    let mut buildpacks = client.buildpacks().await?;
    buildpacks.retain(|known| known.id == request.buildpack_id);
    output.list(&buildpacks, &BUILDPACKS)
}

async fn create_deployment(
    client: &Client,
    output: &Output,
    app: &str,
    force_build: bool,
    wait: bool,
) -> Result<ExitCode, CliError> {
    output.check(&deployments::COLUMNS)?;
    let app = client.app(app).await?;
    let created = client.create_deployment(&app.id, force_build).await?;
    if wait {
        return follow(client, output, &app.id, &created.id).await;
    }
    output.list(&[created], &deployments::COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

/// Who is told of an alert. A field that is not known is refused: what replaces the destinations must not lose them by a misspelt word.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Destinations {
    emails: Vec<String>,
    slack_webhooks: Vec<Webhook>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    url: String,
    channel: String,
}

/// JSON is YAML, too.
fn read_destinations(text: &str, file: &str) -> Result<AlertDestinationsRequest, CliError> {
    let read: Destinations = serde_saphyr::from_str(text)
        .map_err(|error| CliError::Usage(format!("{file} does not say who is told of an alert: {error}")))?;
    let webhooks = read.slack_webhooks.into_iter().map(|webhook| SlackWebhook {
        url: webhook.url,
        channel: webhook.channel,
    });
    Ok(AlertDestinationsRequest {
        emails: read.emails,
        slack_webhooks: webhooks.collect(),
    })
}

const EVENTS: [Column<Event>; 5] = [
    Column::new("ID", "ID", |event| event.id.clone()),
    Column::new("Type", "TYPE", |event| event.r#type.as_str().to_owned()),
    Column::new("DeploymentID", "DEPLOYMENT ID", |event| {
        event.deployment_id.clone()
    }),
    Column::new("Created", "CREATED AT", |event| time(event.created_at)),
    Column::new("Phase", "PHASE", |event| {
        let deployment = event.deployment.as_ref();
        deployment.map_or(String::new(), |deployment| deployment.phase.as_str().to_owned())
    }),
];

const REGIONS: [Column<Region>; 7] = [
    Column::new("Region", "REGION", |region| region.slug.clone()),
    Column::new("Label", "LABEL", |region| region.label.clone()),
    Column::new("Continent", "CONTINENT", |region| region.continent.clone()),
    Column::new("DataCenters", "DATA CENTERS", |region| {
        region.data_centers.join(", ")
    }),
    Column::new("IsDisabled", "IS DISABLED?", |region| region.disabled.to_string()),
    Column::new("Reason", "REASON (IF DISABLED)", |region| region.reason.clone()),
    Column::new("IsDefault", "IS DEFAULT?", |region| region.default.to_string()),
];

const BUILDPACKS: [Column<Buildpack>; 4] = [
    Column::new("Name", "NAME", |buildpack| buildpack.name.clone()),
    Column::new("ID", "ID", |buildpack| buildpack.id.clone()),
    Column::new("Version", "VERSION", |buildpack| buildpack.version.clone()),
    Column::new("Description", "DESCRIPTION", |buildpack| {
        buildpack.description.join(" ")
    }),
];

const TIERS: [Column<AppTier>; 2] = [
    Column::new("Name", "NAME", |tier| tier.name.clone()),
    Column::new("Slug", "SLUG", |tier| tier.slug.clone()),
];

const PROPOSALS: [Column<ProposeResponse>; 6] = [
    Column::new("AppNameAvailable", "APP NAME AVAILABLE?", |it| {
        it.app_name_available.to_string()
    }),
    Column::new("AppNameSuggestion", "SUGGESTED APP NAME", |it| {
        it.app_name_suggestion.clone()
    }),
    Column::new("AppIsStatic", "IS STATIC?", |it| it.app_is_static.to_string()),
    Column::new("StaticApps", "STATIC APP USAGE", |it| {
        format!("{} of {}", it.existing_static_apps, it.max_free_static_apps)
    }),
    Column::new("AppCost", "$/MONTH", |it| format!("{:.2}", it.app_cost)),
    Column::on_request("AppTierUpgradeCost", "$/MONTH ON HIGHER TIER", |it| {
        format!("{:.2}", it.app_tier_upgrade_cost)
    }),
];

const ALERTS: [Column<Alert>; 7] = [
    Column::new("ID", "ID", |alert| alert.id.clone()),
    Column::new("Spec.Rule", "ALERT RULE", |alert| word(&alert.spec.rule)),
    Column::new("Trigger", "ALERT TRIGGER", trigger),
    Column::new("ComponentName", "COMPONENT NAME", |alert| {
        alert.component_name.clone()
    }),
    Column::new("Emails", "NUMBER OF EMAILS", |alert| {
        alert.emails.len().to_string()
    }),
    Column::new("SlackWebhooks", "NUMBER OF SLACK WEBHOOKS", |alert| {
        alert.slack_webhooks.len().to_string()
    }),
    Column::new("Spec.Disabled", "ALERT DISABLED?", |alert| {
        alert.spec.disabled.to_string()
    }),
];

/// "GREATER_THAN 80 FIVE_MINUTES"; nothing for an alert about what happens.
fn trigger(alert: &Alert) -> String {
    let spec = &alert.spec;
    if spec.operator.is_none() {
        return String::new();
    }
    let words = [word(&spec.operator), spec.value.to_string(), word(&spec.window)];
    words.join(" ")
}

const SIZES: [Column<InstanceSize>; 7] = [
    Column::new("Name", "NAME", |size| size.name.clone()),
    Column::new("Slug", "SLUG", |size| size.slug.clone()),
    Column::new("CPUs", "CPUS", |size| {
        format!("{} {}", size.cpus, size.cpu_type.as_str().to_lowercase())
    }),
    Column::new("Memory", "MEMORY", |size| {
        format!("{} MiB", size.memory_bytes >> 20)
    }),
    Column::new("USDPerMonth", "$/MONTH", |size| size.usd_per_month.clone()),
    Column::new("USDPerSecond", "$/SECOND", |size| size.usd_per_second.clone()),
    Column::new("Tier", "TIER", |size| size.tier_slug.clone()),
];

/// A word of the API's, as it is written there.
fn word(word: &impl Serialize) -> String {
    let value = serde_json::to_value(word).unwrap_or_default();
    value.as_str().map(str::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_from_yaml_and_json() {
        let yaml = "emails: [a@b.test]\nslack_webhooks:\n- url: https://hooks.test/1\n  channel: ops\n";
        let json = r#"{"emails": ["a@b.test"], "slack_webhooks": [{"url": "https://hooks.test/1", "channel": "ops"}]}"#;
        let read = read_destinations(yaml, "x.yaml").unwrap();
        assert_eq!(read, read_destinations(json, "x.json").unwrap());
        assert_eq!(
            (read.emails.len(), read.slack_webhooks[0].channel.as_str()),
            (1, "ops")
        );
        for wrong in [
            "emails: 3",
            "emial: [a@b.test]",
            "slack_webhooks: [{url: u, chanel: ops}]",
        ] {
            let error = read_destinations(wrong, "x.yaml").unwrap_err().to_string();
            assert!(
                error.starts_with("x.yaml does not say who is told of an alert"),
                "{error}"
            );
        }
    }
}

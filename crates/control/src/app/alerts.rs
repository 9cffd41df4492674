//! The alerts of an app's spec, and where each would go.

use std::iter;

use mainstay_api::{Alert, AlertDestinationsRequest, AlertPhase, AlertProgress, Reason, Step, StepStatus};
use mainstay_spec::{AlertRule, AppSpec, ids::AppId};
use sha2::{Digest, Sha256};

use super::{Application, Refusal};
use crate::alerts::{self, Outcome};

const DESTINATIONS_MAX: usize = 100;
const TEXT_MAX: usize = 2048;

impl Application {
    /// With where each goes, and how the last message went.
    pub(crate) async fn alerts(&self, app: AppId) -> Result<Vec<Alert>, Refusal> {
        let spec = self.app(app).await?.app.spec;
        let mut destinations = self.platform.store.alert_destinations(app).await?;
        let mut of_app = alerts_of(app, &spec);
        for alert in &mut of_app {
            let Some(stored) = destinations.remove(&alert.id) else {
                continue;
            };
            let to = alerts::opened(&self.platform, app, &stored.destinations).unwrap_or_default();
            (alert.emails, alert.slack_webhooks) = (to.emails, to.slack_webhooks);
            let outcome = stored.outcome.as_deref().map(serde_json::from_str::<Outcome>);
            show_outcome(
                alert,
                outcome.and_then(Result::ok),
                self.platform.alerts.sends_mail(),
            );
        }
        Ok(of_app)
    }

    /// Replaces where an alert goes.
    pub(crate) async fn send_alert_to(
        &self,
        app: AppId,
        alert: &str,
        to: &AlertDestinationsRequest,
    ) -> Result<Alert, Refusal> {
        let is_one = |known: &Alert| known.id == alert;
        if !self.alerts(app).await?.iter().any(is_one) {
            return Err(Refusal::NotFound);
        }
        check(to, self.platform.config.alerts.local_webhooks)?;
        let stored = alerts::sealed(&self.platform, app, to);
        let store = &self.platform.store;
        store.put_alert_destinations(app, alert, &stored).await?;
        let mut alerts = self.alerts(app).await?.into_iter();
        alerts.find(is_one).ok_or(Refusal::NotFound)
    }
}

fn check(to: &AlertDestinationsRequest, allows_local: bool) -> Result<(), Refusal> {
    if to.emails.len() + to.slack_webhooks.len() > DESTINATIONS_MAX {
        return Err(Refusal::BadRequest(format!(
            "an alert goes to {DESTINATIONS_MAX} places at most"
        )));
    }
    for (index, email) in to.emails.iter().enumerate() {
        let is_address = email
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            && email.len() <= TEXT_MAX;
        if !is_address {
            return Err(Refusal::BadRequest(format!(
                "emails[{index}] is {email:?}, which is no address"
            )));
        }
    }
    for (index, webhook) in to.slack_webhooks.iter().enumerate() {
        // Its address is a secret: it is not repeated.
        let url = url::Url::parse(&webhook.url).ok();
        if !allows_local && url.as_ref().is_some_and(alerts::is_local) {
            return Err(Refusal::BadRequest(format!(
                "slack_webhooks[{index}].url leads to this machine itself, which its operator has to allow (`[alerts] local_webhooks`)"
            )));
        }
        let is_url = url.is_some_and(|url| url.scheme() == "https");
        if !is_url || webhook.url.len() > TEXT_MAX || webhook.channel.len() > TEXT_MAX {
            return Err(Refusal::BadRequest(format!(
                "slack_webhooks[{index}].url is no https address"
            )));
        }
    }
    Ok(())
}

/// The app's own, then those of each component.
fn alerts_of(app: AppId, spec: &AppSpec) -> Vec<Alert> {
    let of_components = spec
        .components()
        .map(|component| (component.name(), component.alerts()));
    let owners = iter::once(("", spec.alerts.as_slice())).chain(of_components);
    owners
        .flat_map(|(component, alerts)| {
            alerts.iter().enumerate().map(move |(index, alert)| Alert {
                id: id(app, component, &alerts[..index], alert),
                component_name: component.to_owned(),
                spec: alert.clone(),
                ..standing(alert.rule)
            })
        })
        .collect()
}

/// Whether anything will ever be sent.
fn standing(rule: Option<AlertRule>) -> Alert {
    if rule.is_some_and(AlertRule::is_watched) {
        with_step(AlertPhase::Active, StepStatus::Success, None)
    } else {
        // The spec's reader warns of it as well.
        let message = "this version does not watch for what the rule is about";
        with_step(AlertPhase::Pending, StepStatus::Pending, Some(message.to_owned()))
    }
}

/// How the last message went, and whether mails can be sent at all.
fn show_outcome(alert: &mut Alert, outcome: Option<Outcome>, sends_mail: bool) {
    if alert.phase != AlertPhase::Active {
        return;
    }
    let unsent = outcome.and_then(|outcome| outcome.error.map(|error| (outcome.at, error)));
    let trouble = match unsent {
        Some((at, error)) => format!("the last message was not sent ({at}): {error}"),
        None if !alert.emails.is_empty() && !sends_mail => {
            "no mail is sent: no mail server is configured (`[alerts] smtp_url`)".to_owned()
        }
        None => return,
    };
    let shown = with_step(AlertPhase::Error, StepStatus::Error, Some(trouble));
    (alert.phase, alert.progress) = (shown.phase, shown.progress);
}

fn with_step(phase: AlertPhase, status: StepStatus, message: Option<String>) -> Alert {
    let reason = message.map(|message| Reason {
        message,
        ..Reason::default()
    });
    let step = Step {
        name: "alert-configure-insight-alert".into(),
        status,
        reason,
        ..Step::default()
    };
    Alert {
        phase,
        progress: Some(AlertProgress { steps: vec![step] }),
        ..Alert::default()
    }
}

/// The same as long as app, component and rule are, whatever becomes of the threshold: among a component's alerts of one rule, those `before` it count.
fn id(app: AppId, component: &str, before: &[mainstay_spec::Alert], alert: &mainstay_spec::Alert) -> String {
    let rule = alert.rule.unwrap_or_default();
    let place = before.iter().filter(|other| other.rule == alert.rule).count();
    let digest = Sha256::digest(format!("{app}/{component}/{rule}/{place}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use mainstay_spec::{Format, parse};

    use super::*;

    fn ids(alerts: &str) -> Vec<String> {
        let text = format!(
            "name: shop
services:
- name: web
  git: {{repo_clone_url: https://git.example/shop.git, branch: main}}
  alerts: [{alerts}]
"
        );
        let spec = parse(&text, Format::Yaml).unwrap().spec;
        let alerts = alerts_of(AppId::from_uuid(uuid::Uuid::nil()), &spec);
        alerts.into_iter().map(|alert| alert.id).collect()
    }

    fn above(rule: &str, value: u32) -> String {
        format!("{{rule: {rule}, operator: GREATER_THAN, value: {value}, window: FIVE_MINUTES}}")
    }

    #[test]
    fn another_threshold_is_the_same_alert() {
        let cpu = ids(&above("CPU_UTILIZATION", 80));
        assert_eq!(cpu, ids(&above("CPU_UTILIZATION", 90)));
        assert_ne!(cpu, ids(&above("MEM_UTILIZATION", 80)));
        let two = ids(&format!(
            "{}, {}",
            above("CPU_UTILIZATION", 80),
            above("CPU_UTILIZATION", 95)
        ));
        assert_eq!(two[0], cpu[0]);
        assert_ne!(two[0], two[1]);
    }
}

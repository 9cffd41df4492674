//! The alerts of an app's spec, and where each would go.

use mainstay_api::{Alert, AlertDestinationsRequest, AlertPhase, AlertProgress, Reason, Step, StepStatus};
use mainstay_spec::{AppSpec, ids::AppId};
use sha2::{Digest, Sha256};

use super::{Application, Refusal};

const DESTINATIONS_MAX: usize = 100;
const TEXT_MAX: usize = 2048;

impl Application {
    pub(crate) async fn alerts(&self, app: AppId) -> Result<Vec<Alert>, Refusal> {
        let spec = self.app(app).await?.app.spec;
        let mut destinations = self
            .platform
            .store
            .alert_destinations::<AlertDestinationsRequest>(app)
            .await?;
        let mut alerts = alerts_of(app, &spec);
        for alert in &mut alerts {
            let to = destinations.remove(&alert.id).unwrap_or_default();
            (alert.emails, alert.slack_webhooks) = (to.emails, to.slack_webhooks);
        }
        Ok(alerts)
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
        check(to)?;
        self.platform.store.put_alert_destinations(app, alert, to).await?;
        let mut alerts = self.alerts(app).await?.into_iter();
        alerts.find(is_one).ok_or(Refusal::NotFound)
    }
}

fn check(to: &AlertDestinationsRequest) -> Result<(), Refusal> {
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
        let is_url = url::Url::parse(&webhook.url).is_ok_and(|url| url.scheme() == "https");
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
    let of_app = spec.alerts.iter().map(|alert| ("", alert));
    let of_components = spec.components().flat_map(|component| {
        component
            .alerts()
            .iter()
            .map(move |alert| (component.name(), alert))
    });
    of_app
        .chain(of_components)
        .map(|(component, alert)| Alert {
            id: id(app, component, alert),
            component_name: component.to_owned(),
            spec: alert.clone(),
            // The spec's reader warns of it as well.
            phase: AlertPhase::Pending,
            progress: Some(AlertProgress {
                steps: vec![Step {
                    name: "alert-configure-insight-alert".into(),
                    status: StepStatus::Pending,
                    reason: Some(Reason {
                        code: "NotSent".into(),
                        message: "no alerts are sent by this version yet".into(),
                        ..Reason::default()
                    }),
                    ..Step::default()
                }],
            }),
            ..Alert::default()
        })
        .collect()
}

/// The same as long as app, component and rule are.
fn id(app: AppId, component: &str, alert: &mainstay_spec::Alert) -> String {
    let digest = Sha256::digest(format!("{app}/{component}/{alert:?}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

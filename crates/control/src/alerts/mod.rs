//! Alerts on their way: what happened becomes messages, and messages are sent until somebody took them.
//!
//! ```text
//!  deployments, runs of jobs ──trigger──▶ occurrences ──rules of the app's spec──▶ deliveries ──▶ webhook, mail
//!    (in the transaction that makes it so)                    (one for each place)       └── later, when it failed
//!  thresholds of what is measured ──▲ (when one begins to be passed, and when it no longer is: `metrics::watch`)
//! ```
//!
//! Everything is in the store before it is sent, and is taken out after: a server that is killed between the two sends twice, never not at all.

mod mail;
mod measured;
mod message;
mod webhook;

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use mainstay_api::{Alert, AlertDestinationsRequest};
use mainstay_spec::{AlertRule, ids::AppId};
use mainstay_store::{Delivery, Occurrence};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::timeout};

pub(crate) use self::{mail::mailer, message::Message, webhook::is_local};
use crate::{
    app::{Application, Refusal},
    config::Config,
    platform::{Platform, PlatformError},
};

/// Without a nudge: what is due again, and what no actor told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of each look.
const AT_A_TIME: u32 = 64;
const SENT_AT_ONCE: usize = 8;
/// A place that takes longer has not taken it.
const SENT_WITHIN: Duration = Duration::from_secs(20);
/// Messages of one app that wait; later ones are left out.
const WAITING_MAX: u32 = 1000;
/// Between the first tries; then three times as long each, up to the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(60);
/// After that nobody wants to hear of it any more.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// What messages are sent with.
#[derive(Debug)]
pub(crate) struct Alerts {
    something: Notify,
    webhooks: webhook::Client,
    mail: Option<mail::Mail>,
}

/// A place that an alert goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
enum Target {
    Webhook { url: String, channel: String },
    Mail { address: String },
}

/// How the last message of an alert went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub at: Timestamp,
    /// Never with the address of a webhook.
    pub error: Option<String>,
}

/// Why a place did not take a message, as a sentence without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Unsent {
    message: String,
    /// Whether trying again can help.
    is_passing: bool,
}

impl Unsent {
    fn passing(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_passing: true,
        }
    }

    fn lasting(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_passing: false,
        }
    }
}

impl Alerts {
    pub(crate) fn new(config: &Config) -> Result<Self, PlatformError> {
        let settings = config.operator_settings();
        Ok(Self {
            something: Notify::new(),
            webhooks: webhook::Client::new(&settings, config.alerts.local_webhooks)?,
            mail: mail::Mail::new(&config.alerts),
        })
    }

    /// Something happened that somebody may want to hear of.
    pub(crate) fn nudge(&self) {
        self.something.notify_one();
    }

    /// Whether mails can be sent at all.
    pub(crate) fn sends_mail(&self) -> bool {
        self.mail.is_some()
    }
}

/// Sends for as long as the server runs.
pub(crate) async fn send_alerts(application: Application) {
    let platform = Arc::clone(&application.platform);
    if let Err(error) = seal_stored(&platform).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not seal where alerts go"
        );
    }
    loop {
        if let Err(error) = make_messages(&application).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not make messages of what happened"
            );
        }
        if let Err(error) = send_due(&platform).await {
            tracing::error!(error = &error as &dyn std::error::Error, "could not send alerts");
        }
        tokio::select! {
            () = platform.alerts.something.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// An older server stored them as they came.
async fn seal_stored(platform: &Platform) -> Result<(), PlatformError> {
    for (app, alert, plain) in platform.store.plain_alert_destinations().await? {
        let sealed = platform.secrets.sealed_destination(app, &plain);
        platform
            .store
            .put_alert_destinations(app, &alert, &sealed)
            .await?;
    }
    Ok(())
}

async fn make_messages(application: &Application) -> Result<(), Refusal> {
    let platform = &application.platform;
    for occurrence in platform.store.alert_occurrences(AT_A_TIME).await? {
        let messages = match messages_of(application, &occurrence).await {
            Ok(messages) => messages,
            // Gone by now, and nobody can be told where to look.
            Err(Refusal::NotFound) => Vec::new(),
            Err(error) => {
                // Others' do not wait for it.
                tracing::error!(app = %occurrence.app, error = &error as &dyn std::error::Error, "could not make messages of what happened");
                continue;
            }
        };
        let store = &platform.store;
        let left_out = store
            .put_alert_deliveries(&occurrence, &messages, WAITING_MAX)
            .await?;
        if left_out > 0 {
            tracing::warn!(app = %occurrence.app, left_out, "too many of the app's messages wait already");
        }
    }
    Ok(())
}

/// Alert, sealed place and message, for each place that wants to hear of it.
async fn messages_of(
    application: &Application,
    occurrence: &Occurrence,
) -> Result<Vec<(String, String, String)>, Refusal> {
    let is_about = |alert: &Alert| {
        let rule = alert.spec.rule.map(AlertRule::as_str);
        // A component may have several of the same rule, with thresholds of their own.
        let is_it = occurrence
            .measured
            .as_ref()
            .is_none_or(|measured| measured.alert == alert.id);
        !alert.spec.disabled
            && rule == Some(occurrence.rule.as_str())
            && alert.component_name == occurrence.component
            && is_it
    };
    let mut alerts = application.alerts(occurrence.app).await?;
    alerts.retain(is_about);
    let Some(first) = alerts.first() else {
        return Ok(Vec::new());
    };
    let message = match &occurrence.measured {
        Some(measured) => {
            let app = application.app(occurrence.app).await?.app;
            measured::message(&app.name, &first.component_name, &first.spec, measured)
        }
        None => message::of(application, occurrence).await?,
    };
    let message = serde_json::to_string(&message).expect("a message has text only");
    let secrets = &application.platform.secrets;
    let sealed = |target: &Target| {
        let text = serde_json::to_string(target).expect("a place has text only");
        secrets.sealed_destination(occurrence.app, &text)
    };
    let to_places = alerts.iter().flat_map(|alert| {
        let webhooks = alert.slack_webhooks.iter().map(|webhook| Target::Webhook {
            url: webhook.url.clone(),
            channel: webhook.channel.clone(),
        });
        let mails = alert.emails.iter().map(|address| Target::Mail {
            address: address.clone(),
        });
        webhooks.chain(mails).map(|target| (alert.id.clone(), target))
    });
    Ok(to_places
        .map(|(alert, target)| (alert, sealed(&target), message.clone()))
        .collect())
}

async fn send_due(platform: &Platform) -> Result<(), PlatformError> {
    let due = platform
        .store
        .due_alert_deliveries(platform.clock.now(), AT_A_TIME)
        .await?;
    futures_util::stream::iter(due)
        .for_each_concurrent(SENT_AT_ONCE, async |delivery| {
            if let Err(error) = attempt(platform, &delivery).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not store how a message went"
                );
            }
        })
        .await;
    Ok(())
}

async fn attempt(platform: &Platform, delivery: &Delivery) -> Result<(), PlatformError> {
    let sent = match timeout(SENT_WITHIN, send(platform, delivery)).await {
        Ok(sent) => sent,
        Err(_) => Err(Unsent::passing(format!(
            "it was not taken within {} s",
            SENT_WITHIN.as_secs()
        ))),
    };
    let now = platform.clock.now();
    let outcome = |error: Option<String>| {
        serde_json::to_string(&Outcome { at: now, error }).expect("an outcome has text only")
    };
    let store = &platform.store;
    match sent {
        Ok(()) => store.end_alert_delivery(delivery, &outcome(None)).await?,
        Err(unsent) => {
            tracing::warn!(app = %delivery.app, alert = delivery.alert, attempt = delivery.attempts + 1, error = unsent.message, "an alert was not sent");
            let outcome = outcome(Some(unsent.message));
            let is_old = now.duration_since(delivery.created_at) >= GIVEN_UP_AFTER;
            if unsent.is_passing && !is_old {
                let due_at = now
                    .saturating_add(pause_after(delivery.attempts))
                    .unwrap_or(Timestamp::MAX);
                store.postpone_alert_delivery(delivery, due_at, &outcome).await?;
            } else {
                store.end_alert_delivery(delivery, &outcome).await?;
            }
        }
    }
    Ok(())
}

async fn send(platform: &Platform, delivery: &Delivery) -> Result<(), Unsent> {
    let unreadable = |_| Unsent::lasting("where it goes, or what it says, cannot be read");
    let target = platform
        .secrets
        .opened_destination(delivery.app, &delivery.target)
        .map_err(|_| Unsent::lasting("where it goes was sealed with another key"))?;
    let target: Target = serde_json::from_str(&target).map_err(unreadable)?;
    let message: Message = serde_json::from_str(&delivery.message).map_err(unreadable)?;
    match &target {
        Target::Webhook { url, channel } => platform.alerts.webhooks.post(url, channel, &message).await,
        Target::Mail { address } => match &platform.alerts.mail {
            Some(mail) => mail.send(address, &message).await,
            None => Err(Unsent::lasting(
                "no mail server is configured (`[alerts] smtp_url`)",
            )),
        },
    }
}

/// After so many tries in vain before this one.
fn pause_after(attempts: u32) -> SignedDuration {
    let factor = 3_i32.saturating_pow(attempts.min(10));
    FIRST_PAUSE
        .checked_mul(factor)
        .unwrap_or(LONGEST_PAUSE)
        .min(LONGEST_PAUSE)
}

/// As it is stored.
pub(crate) fn sealed(platform: &Platform, app: AppId, to: &AlertDestinationsRequest) -> String {
    let text = serde_json::to_string(to).expect("destinations have text only");
    platform.secrets.sealed_destination(app, &text)
}

/// What was stored; an older server stored it as it came.
pub(crate) fn opened(platform: &Platform, app: AppId, stored: &str) -> Option<AlertDestinationsRequest> {
    if stored.starts_with('{') {
        return serde_json::from_str(stored).ok();
    }
    let text = platform.secrets.opened_destination(app, stored).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let seconds: Vec<i64> = (0..8).map(|attempts| pause_after(attempts).as_secs()).collect();
        assert_eq!(seconds, [10, 30, 90, 270, 810, 2430, 3600, 3600]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}

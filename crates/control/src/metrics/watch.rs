//! Alerts about what is measured: each is told of once when it begins to hold, and once when it no longer does.
//!
//! Which hold is in the store, so that no restart of the server tells of one again. Only alerts that go somewhere are watched.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mainstay_api::Alert;
use mainstay_spec::{AlertOperator, AlertRule, ids::AppId};
use mainstay_store::{AlertTurn, Mean, Measured, Store};

use crate::app::{Application, Refusal};

/// Of the minutes of a window, so many may not have been looked at: between two looks there may be a little more than a minute.
const MINUTES_MISSED_MAX: u32 = 1;

pub(super) async fn watch(application: &Application, now: Timestamp) -> Result<(), Refusal> {
    let platform = &application.platform;
    for app in platform.store.apps_with_measured_alerts().await? {
        match watch_app(application, app, now).await {
            Ok(()) | Err(Refusal::NotFound) => {}
            // Others' do not wait for it.
            Err(error) => {
                tracing::warn!(%app, error = &error as &dyn std::error::Error, "could not watch for alerts");
            }
        }
    }
    Ok(())
}

async fn watch_app(application: &Application, app: AppId, now: Timestamp) -> Result<(), Refusal> {
    let platform = &application.platform;
    let store = &platform.store;
    let mut holding = store.holding_alerts(app).await?;
    let mut alerts = application.alerts(app).await?;
    alerts.retain(is_watched);
    forget_others(store, app, &mut holding, &alerts).await?;
    // Without one that serves there is nothing to measure.
    let Some(deployment) = application.app(app).await?.app.active_deployment else {
        return Ok(());
    };
    for alert in alerts {
        let Some(value) = measured(store, app, &alert, now).await? else {
            continue;
        };
        let holds = match alert.spec.operator {
            Some(AlertOperator::GreaterThan) => value > alert.spec.value,
            Some(AlertOperator::LessThan) => value < alert.spec.value,
            _ => continue,
        };
        if holds == holding.contains(&alert.id) {
            continue;
        }
        let turn = AlertTurn {
            app,
            deployment,
            component: alert.component_name,
            rule: alert.spec.rule.unwrap_or_default().to_string(),
            at: now,
            measured: Measured {
                alert: alert.id,
                value,
                holds,
            },
        };
        store.turn_alert(&turn).await?;
        platform.alerts.nudge();
    }
    Ok(())
}

fn is_watched(alert: &Alert) -> bool {
    let goes_somewhere = !alert.emails.is_empty() || !alert.slack_webhooks.is_empty();
    let is_measured = alert.spec.rule.is_some_and(AlertRule::is_measured);
    is_measured && goes_somewhere && !alert.spec.disabled
}

/// Those that were changed, disabled or lost their places since they began to hold.
async fn forget_others(
    store: &Store,
    app: AppId,
    holding: &mut BTreeSet<String>,
    alerts: &[Alert],
) -> Result<(), Refusal> {
    let is_there = |id: &String| alerts.iter().any(|alert| alert.id == *id);
    let gone: Vec<String> = holding.extract_if(.., |id| !is_there(id)).collect();
    for alert in gone {
        store.forget_holding_alert(app, &alert).await?;
    }
    Ok(())
}

/// The value that the alert is about, over its window; `None` while not all of that is known.
async fn measured(store: &Store, app: AppId, alert: &Alert, now: Timestamp) -> Result<Option<f64>, Refusal> {
    let Some(minutes) = alert.spec.window.and_then(mainstay_spec::AlertWindow::minutes) else {
        return Ok(None);
    };
    let window = SignedDuration::from_mins(minutes.into());
    let since = now.checked_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
    let component = &alert.component_name;
    let known = |mean: Mean| (mean.minutes + MINUTES_MISSED_MAX >= minutes).then_some(mean.percent);
    Ok(match alert.spec.rule {
        Some(AlertRule::RestartCount) => Some(store.restarts_since(app, component, since).await?.into()),
        Some(AlertRule::CpuUtilization) => known(store.mean_use(app, component, (since, now)).await?.0),
        Some(AlertRule::MemUtilization) => known(store.mean_use(app, component, (since, now)).await?.1),
        _ => None,
    })
}

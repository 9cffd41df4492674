//! Rules about alerts and log destinations.

use super::{Findings, format};
use crate::{
    error::{Problem, SpecError},
    model::{Alert, AlertOperator, AlertRule, AlertWindow, ComponentRef, JobKind, LogDestination},
};

pub(super) fn app_alerts(alerts: &[Alert], findings: &mut Findings) {
    for (index, alert) in alerts.iter().enumerate() {
        let at = format!("alerts[{index}]");
        let Some(rule) = given_rule(alert, &at, findings) else {
            continue;
        };
        if rule.is_about_app() {
            no_threshold(alert, &at, findings);
        } else {
            let message = format!("{rule} is an alert of a component, not of the app");
            findings.add(SpecError::new(format!("{at}.rule"), Problem::Conflict, message));
        }
    }
}

pub(super) fn component_alerts(component: ComponentRef<'_>, at: &str, findings: &mut Findings) {
    for (index, alert) in component.alerts().iter().enumerate() {
        let at = format!("{at}.alerts[{index}]");
        let Some(rule) = given_rule(alert, &at, findings) else {
            continue;
        };
        if !fits(rule, component) {
            let message = format!("{rule} is no alert of a {}", component.kind().noun());
            findings.add(SpecError::new(format!("{at}.rule"), Problem::Conflict, message));
        } else if rule != AlertRule::JobInvocationFailed {
            threshold(alert, &at, findings);
        }
    }
}

fn given_rule(alert: &Alert, at: &str, findings: &mut Findings) -> Option<AlertRule> {
    let rule = alert.rule.filter(|rule| *rule != AlertRule::Unspecified);
    if rule.is_none() {
        findings.required(format!("{at}.rule"), "");
    }
    rule
}

fn fits(rule: AlertRule, component: ComponentRef<'_>) -> bool {
    use AlertRule as R;
    match rule {
        R::CpuUtilization | R::MemUtilization | R::RestartCount => {
            matches!(
                component,
                ComponentRef::Service(_) | ComponentRef::Worker(_) | ComponentRef::Job(_)
            )
        }
        R::RequestsPerSecond | R::RequestDurationP95Ms => matches!(component, ComponentRef::Service(_)),
        R::JobInvocationFailed => {
            matches!(component, ComponentRef::Job(job) if job.kind() == JobKind::Scheduled)
        }
        rule => !rule.is_about_app() && matches!(component, ComponentRef::Functions(_)),
    }
}

fn no_threshold(alert: &Alert, at: &str, findings: &mut Findings) {
    let given = [
        ("operator", alert.operator.is_some()),
        ("value", alert.value != 0.0),
        ("window", alert.window.is_some()),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        findings.conflict(format!("{at}.{field}"), "alerts of the app have no threshold");
    }
}

fn threshold(alert: &Alert, at: &str, findings: &mut Findings) {
    if alert
        .operator
        .is_none_or(|operator| operator == AlertOperator::Unspecified)
    {
        findings.required(format!("{at}.operator"), "");
    }
    if alert
        .window
        .is_none_or(|window| window == AlertWindow::Unspecified)
    {
        findings.required(format!("{at}.window"), "");
    }
    let is_percentage = matches!(
        alert.rule,
        Some(AlertRule::CpuUtilization | AlertRule::MemUtilization)
    );
    if alert.value < 0.0 || (is_percentage && alert.value > 100.0) {
        let rule = if is_percentage {
            "must be between 0 and 100"
        } else {
            "must be 0 or more"
        };
        // `value` is a field name that hides its content, so the number is named in the rule.
        let rule = format!("{rule}, not {}", alert.value);
        findings.add(SpecError::new(format!("{at}.value"), Problem::OutOfRange, rule));
    }
}

pub(super) fn log_destinations(destinations: &[LogDestination], at: &str, findings: &mut Findings) {
    for (index, destination) in destinations.iter().enumerate() {
        one_log_destination(destination, &format!("{at}.log_destinations[{index}]"), findings);
    }
}

fn one_log_destination(destination: &LogDestination, at: &str, findings: &mut Findings) {
    findings.required(format!("{at}.name"), &destination.name);
    let has_length = |name: &str| (2..=42).contains(&name.chars().count());
    findings.shape(
        format!("{at}.name"),
        &destination.name,
        has_length,
        "must have 2 to 42 characters",
    );
    let kinds = [
        destination.papertrail.is_some(),
        destination.datadog.is_some(),
        destination.logtail.is_some(),
        destination.open_search.is_some(),
        destination.endpoint.is_some(),
    ];
    if kinds.iter().filter(|given| **given).count() != 1 {
        findings.conflict(
            at,
            "needs exactly one of papertrail, datadog, logtail, open_search, endpoint",
        );
    }
    if let Some(papertrail) = &destination.papertrail {
        findings.required(format!("{at}.papertrail.endpoint"), &papertrail.endpoint);
    }
    if let Some(datadog) = &destination.datadog {
        findings.required(format!("{at}.datadog.api_key"), datadog.api_key.reveal());
    }
    if let Some(open_search) = &destination.open_search {
        let at = format!("{at}.open_search");
        if open_search.endpoint.is_some() == open_search.cluster_name.is_some() {
            findings.conflict(&at, "needs exactly one of endpoint, cluster_name");
        }
        let endpoint = open_search.endpoint.as_deref().unwrap_or_default();
        findings.shape(
            format!("{at}.endpoint"),
            endpoint,
            format::is_https_url,
            "must be an https:// URL",
        );
    }
}

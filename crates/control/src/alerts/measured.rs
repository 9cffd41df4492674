//! What an alert about a measured value says: the value, the threshold, and where to look.

use mainstay_spec::{Alert, AlertOperator, AlertRule};
use mainstay_store::Measured;

use super::Message;

/// Of a component's alert that begins to hold, or no longer does.
pub(super) fn message(app: &str, component: &str, alert: &Alert, measured: &Measured) -> Message {
    let rule = alert.rule.unwrap_or_default();
    let is_less = alert.operator == Some(AlertOperator::LessThan);
    let minutes = alert.window.unwrap_or_default().minutes().unwrap_or_default();
    let (what, value, threshold) = match rule {
        AlertRule::RestartCount => {
            let value = format!(
                "It was restarted {} times within {minutes} minutes",
                measured.value
            );
            ("restarts", value, alert.value.to_string())
        }
        rule => {
            let what = if rule == AlertRule::CpuUtilization {
                "CPU"
            } else {
                "memory"
            };
            let value = format!(
                "Its instances used {:.1} % of their size's {what} in the mean of {minutes} minutes",
                measured.value
            );
            (what, value, format!("{} %", alert.value))
        }
    };
    let side = if is_less { "below" } else { "above" };
    let again = if measured.holds { "" } else { " no longer" };
    Message {
        title: format!("{app}: {what} of {component}{again} {side} {threshold}"),
        lines: vec![
            format!("{value}; the alert {rule} is about what is {side} {threshold}."),
            format!("Look: mainstay apps metrics {app} {component}"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use mainstay_spec::AlertWindow;

    use super::*;

    fn said(rule: AlertRule, operator: AlertOperator, value: f64, holds: bool) -> Message {
        let alert = Alert {
            rule: Some(rule),
            operator: Some(operator),
            value: 80.0,
            window: Some(AlertWindow::TenMinutes),
            ..Alert::default()
        };
        let measured = Measured {
            alert: "a".into(),
            value,
            holds,
        };
        message("shop", "web", &alert, &measured)
    }

    #[test]
    fn the_value_and_the_threshold_are_told() {
        let cpu = said(
            AlertRule::CpuUtilization,
            AlertOperator::GreaterThan,
            93.456,
            true,
        );
        assert_eq!(cpu.title, "shop: CPU of web above 80 %");
        assert_eq!(
            cpu.lines,
            [
                "Its instances used 93.5 % of their size's CPU in the mean of 10 minutes; the alert CPU_UTILIZATION is about what is above 80 %.",
                "Look: mainstay apps metrics shop web"
            ]
        );
        let memory = said(AlertRule::MemUtilization, AlertOperator::LessThan, 81.0, false);
        assert_eq!(memory.title, "shop: memory of web no longer below 80 %");
        let restarts = said(AlertRule::RestartCount, AlertOperator::GreaterThan, 81.0, true);
        assert_eq!(restarts.title, "shop: restarts of web above 80");
        assert_eq!(
            restarts.lines[0],
            "It was restarted 81 times within 10 minutes; the alert RESTART_COUNT is about what is above 80."
        );
    }
}

//! Rules about sizes, counts, autoscaling and termination.

use super::Findings;
use crate::{
    decode::closest,
    error::{Problem, SpecError},
    model::{Autoscaling, ComponentRef, Termination},
    sizes::{self, InstanceSize},
};

const INSTANCES_MAX: u32 = 250;

pub(super) fn size_and_count(component: ComponentRef<'_>, at: &str, findings: &mut Findings) {
    let count = component.written_instance_count();
    findings.range(format!("{at}.instance_count"), count, 1..=INSTANCES_MAX);
    if let Some(slug) = component
        .instance_size_slug()
        .filter(|slug| InstanceSize::by_slug(slug).is_none())
    {
        unknown_size(slug, at, findings);
    }
}

fn unknown_size(slug: &str, at: &str, findings: &mut Findings) {
    let current: Vec<&str> = sizes::ALL
        .iter()
        .filter(|size| !size.legacy)
        .map(|size| size.slug)
        .collect();
    let rule = "must be one of the instance sizes, apps-s-1vcpu-0.5gb to apps-d-8vcpu-32gb";
    let path = format!("{at}.instance_size_slug");
    let mut error = SpecError::new(path, Problem::UnknownValue, rule).value(slug);
    error.suggestion = closest(slug, &current).map(|slug| format!("did you mean `{slug}`?"));
    findings.add(error);
}

pub(super) fn autoscaling(
    component: ComponentRef<'_>,
    autoscaling: Option<&Autoscaling>,
    at: &str,
    findings: &mut Findings,
) {
    let Some(autoscaling) = autoscaling else {
        return;
    };
    if component.written_instance_count().is_some() {
        findings.conflict(
            format!("{at}.instance_count"),
            "excludes `autoscaling`, which sets the count itself",
        );
    }
    if !component.instance_size().scalable {
        let rule = "needs an instance size with dedicated CPU, such as apps-d-1vcpu-0.5gb";
        findings.conflict(format!("{at}.autoscaling"), rule);
    }
    let at = format!("{at}.autoscaling");
    bounds(autoscaling, &at, findings);
    metrics(component, autoscaling, &at, findings);
}

fn bounds(autoscaling: &Autoscaling, at: &str, findings: &mut Findings) {
    let bounds = [
        ("min_instance_count", autoscaling.min_instance_count),
        ("max_instance_count", autoscaling.max_instance_count),
    ];
    for (field, bound) in bounds {
        if bound.is_none() {
            findings.required(format!("{at}.{field}"), "");
        }
        findings.range(format!("{at}.{field}"), bound, 1..=INSTANCES_MAX);
    }
    if let (Some(min), Some(max)) = (autoscaling.min_instance_count, autoscaling.max_instance_count)
        && max <= min
    {
        let rule = format!("must be more than min_instance_count, which is {min}");
        findings
            .add(SpecError::new(format!("{at}.max_instance_count"), Problem::OutOfRange, rule).value(max));
    }
}

fn metrics(component: ComponentRef<'_>, autoscaling: &Autoscaling, at: &str, findings: &mut Findings) {
    let metrics = autoscaling.metrics.clone().unwrap_or_default();
    if metrics == crate::model::AutoscalingMetrics::default() {
        let rule = "needs at least one metric, such as cpu";
        return findings.add(SpecError::new(format!("{at}.metrics"), Problem::Required, rule));
    }
    let percent = metrics.cpu.and_then(|cpu| cpu.percent);
    findings.range(format!("{at}.metrics.cpu.percent"), percent, 1..=100);
    let of_requests = [
        ("requests_per_second", metrics.requests_per_second.is_some()),
        ("request_duration", metrics.request_duration.is_some()),
    ];
    for (field, _) in of_requests
        .into_iter()
        .filter(|(_, given)| *given && !matches!(component, ComponentRef::Service(_)))
    {
        findings.conflict(format!("{at}.metrics.{field}"), "only services get requests");
    }
}

pub(super) fn termination(
    termination: Option<&Termination>,
    may_drain: bool,
    at: &str,
    findings: &mut Findings,
) {
    let Some(termination) = termination else {
        return;
    };
    let at = format!("{at}.termination");
    findings.range(
        format!("{at}.grace_period_seconds"),
        termination.grace_period_seconds,
        1..=600,
    );
    findings.range(format!("{at}.drain_seconds"), termination.drain_seconds, 1..=110);
    if termination.drain_seconds.is_some() && !may_drain {
        findings.conflict(format!("{at}.drain_seconds"), "only services are drained");
    }
}

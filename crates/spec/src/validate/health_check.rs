//! Rules about readiness and liveness checks.

use super::{Findings, format};
use crate::{
    error::{Problem, SpecError},
    model::{HealthCheck, Service, Worker},
};

pub(super) fn of_service(service: &Service, at: &str, findings: &mut Findings) {
    let checks = [
        ("health_check", &service.health_check),
        ("liveness_health_check", &service.liveness_health_check),
    ];
    for (field, check) in checks {
        let Some(check) = check else { continue };
        let path = format!("{at}.{field}");
        numbers(check, &path, findings);
        if let Some(port) = check
            .port
            .filter(|port| *port != 0 && !is_port_of(service, *port))
        {
            let rule = "must be the http_port or one of internal_ports";
            findings.add(SpecError::new(format!("{path}.port"), Problem::UnknownReference, rule).value(port));
        }
    }
    if let Some(liveness) = &service.liveness_health_check {
        success_once(liveness, at, findings);
    }
}

fn is_port_of(service: &Service, port: u16) -> bool {
    service.internal_ports.contains(&port) || (!service.is_internal_only() && service.http_port() == port)
}

pub(super) fn of_worker(worker: &Worker, at: &str, findings: &mut Findings) {
    let Some(check) = &worker.liveness_health_check else {
        return;
    };
    numbers(check, &format!("{at}.liveness_health_check"), findings);
    success_once(check, at, findings);
    if check.port.is_none() {
        let rule = "is required: a worker has no http_port";
        findings.add(SpecError::new(
            format!("{at}.liveness_health_check.port"),
            Problem::Required,
            rule,
        ));
    }
}

fn success_once(check: &HealthCheck, at: &str, findings: &mut Findings) {
    if let Some(threshold) = check.success_threshold.filter(|threshold| *threshold != 1) {
        let path = format!("{at}.liveness_health_check.success_threshold");
        findings.add(
            SpecError::new(path, Problem::OutOfRange, "must be 1 for a liveness check").value(threshold),
        );
    }
}

fn numbers(check: &HealthCheck, at: &str, findings: &mut Findings) {
    findings.port(format!("{at}.port"), check.port);
    findings.range(
        format!("{at}.initial_delay_seconds"),
        check.initial_delay_seconds,
        0..=3600,
    );
    findings.range(format!("{at}.period_seconds"), check.period_seconds, 1..=300);
    findings.range(format!("{at}.timeout_seconds"), check.timeout_seconds, 1..=120);
    findings.range(format!("{at}.success_threshold"), check.success_threshold, 1..=50);
    findings.range(format!("{at}.failure_threshold"), check.failure_threshold, 1..=50);
    for (field, path) in [("http_path", &check.http_path), ("path", &check.path)] {
        let rule = "must be a path that begins with `/`";
        findings.shape(
            format!("{at}.{field}"),
            path.as_deref().unwrap_or_default(),
            format::is_url_path,
            rule,
        );
    }
    if check.path.is_some() && check.http_path.is_some() {
        findings.conflict(
            format!("{at}.path"),
            "excludes `http_path`, whose older name it is",
        );
    }
}

//! The app answers the probe, but with a status that is not 2xx or 3xx; each kind of status is its own cause.

use super::probes::{Symptom, request, times};
use crate::{
    Cause, NextStep,
    facts::{Facts, ProbeAttempt, ProbeFacts, ProbeOutcome},
    words,
};

pub(super) fn symptom(facts: &Facts, probe: &ProbeFacts, attempt: &ProbeAttempt, status: u16) -> Symptom {
    let body = body_start(attempt);
    let cause = cause(facts, body, status);
    let count = times(
        probe,
        |outcome| matches!(outcome, ProbeOutcome::Response { status: other, .. } if *other == status),
    );
    let wording = format!(
        "{} answered {}{count}{}",
        request(probe),
        words::http_status(status),
        detail(facts, probe, attempt, cause),
    );
    Symptom {
        cause,
        wording,
        next_steps: next_steps(facts, probe, attempt, cause),
    }
}

fn cause(facts: &Facts, body: &str, status: u16) -> Cause {
    match status {
        400 | 403 | 421 if names_the_host(facts, body) => Cause::HostHeaderRefused,
        400 => Cause::HealthBadRequest,
        401 => Cause::HealthUnauthorized,
        403 => Cause::HealthForbidden,
        404 => Cause::HealthPathNotFound,
        502 => Cause::HealthBadGateway,
        503 => Cause::HealthUnavailable,
        504 => Cause::HealthGatewayTimeout,
        500..=599 => Cause::HealthServerError,
        _ => Cause::HealthStatusUnexpected,
    }
}

/// Whether the answer or the log says that it was the Host header. Words refine the cause; the status decided the code.
fn names_the_host(facts: &Facts, body: &str) -> bool {
    const WORDS: [&str; 7] = [
        "allowed_hosts",
        "disallowedhost",
        "invalid http_host",
        "invalid host header",
        "blocked host",
        "host is not allowed",
        "untrusted host",
    ];
    let says = |text: &str| {
        let text = text.to_ascii_lowercase();
        WORDS.iter().any(|word| text.contains(word))
            || (text.contains("this host") && text.contains("is not allowed"))
    };
    says(body) || facts.log_tail.iter().any(|line| says(line))
}

fn detail(facts: &Facts, probe: &ProbeFacts, attempt: &ProbeAttempt, cause: Cause) -> String {
    match cause {
        Cause::HealthPathNotFound => match probe.answering_paths.first() {
            Some(path) => format!("; the app is up: {path} answers 200"),
            None => String::new(),
        },
        Cause::HostHeaderRefused => {
            format!(
                " because the app does not allow the probe's Host header (`{}`)",
                host(&attempt.target)
            )
        }
        Cause::HealthUnauthorized | Cause::HealthForbidden => {
            "; the probe sends no credentials and no cookie".to_owned()
        }
        Cause::HealthBadGateway | Cause::HealthGatewayTimeout => upstream(facts),
        _ => said(attempt),
    }
}

/// A proxy inside the instance could not reach what stands behind it.
fn upstream(facts: &Facts) -> String {
    let crate::facts::Subject::Instance(instance) = &facts.subject else {
        return String::new();
    };
    instance
        .outbound_failures
        .iter()
        .find(|failure| failure.address.is_loopback())
        .map_or_else(String::new, |failure| {
            format!(
                " because its connection to {} inside the instance was {}",
                std::net::SocketAddr::new(failure.address, failure.port),
                failure.result.words()
            )
        })
}

/// The first line of the answer's body, where it says something.
fn said(attempt: &ProbeAttempt) -> String {
    let line = words::excerpt(body_start(attempt), 120);
    if line.is_empty() || line.starts_with('<') {
        String::new()
    } else {
        format!(": {line}")
    }
}

fn body_start(attempt: &ProbeAttempt) -> &str {
    match &attempt.outcome {
        ProbeOutcome::Response { body_start, .. } => body_start,
        _ => "",
    }
}

/// The part of a target that goes into the Host header: "http://10.0.0.2:8080/x" → "10.0.0.2:8080".
fn host(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn next_steps(facts: &Facts, probe: &ProbeFacts, attempt: &ProbeAttempt, cause: Cause) -> Vec<NextStep> {
    let path = probe.definition.http_path.as_deref().unwrap_or("/");
    match cause {
        Cause::HealthPathNotFound => path_steps(facts, probe, path),
        Cause::HealthUnauthorized | Cause::HealthForbidden => vec![
            NextStep::new(format!(
                "Exempt {path} from the login, or probe a path that needs none."
            ))
            .with_spec(words::spec_lines(
                facts,
                &["health_check:\n  http_path: <a path without login>"],
            )),
        ],
        Cause::HostHeaderRefused => vec![NextStep::new(format!(
            "Allow the host `{}` for {path} in the app's list of allowed hosts, or answer {path} before the host is checked.",
            host(&attempt.target)
        ))],
        Cause::HealthUnavailable => {
            vec![NextStep::new(
                "The process itself runs; its own readiness check says what it misses (see the body in the transcript).",
            )]
        }
        Cause::HealthBadGateway | Cause::HealthGatewayTimeout => vec![NextStep::new(
            "Start the program behind the proxy first, or let the proxy's start wait for it; then look at that program's log.",
        )],
        _ => Vec::new(),
    }
}

fn path_steps(facts: &Facts, probe: &ProbeFacts, path: &str) -> Vec<NextStep> {
    let set = |path: &str| words::spec_lines(facts, &[&format!("health_check:\n  http_path: {path}")]);
    match probe.answering_paths.first() {
        Some(other) => vec![NextStep::new(format!("Probe {other} instead.")).with_spec(set(other))],
        None => vec![
            NextStep::new(format!(
                "Answer {path} with 200 in the app, or probe a path that exists."
            ))
            .with_spec(set("<a path that answers 200>")),
        ],
    }
}

//! Alive, but no probe succeeded: the socket table and the transcript say why.

use super::{
    Finding, command, outbound_failures, present_trouble, probe_sockets, probe_status, unknown_names,
    variables,
};
use crate::{
    Cause, Code, CpuEvidence, Evidence, NextStep, Retry, SocketEvidence, Verdict,
    exit_codes::{self, EndedBy},
    facts::{ExitRecord, Facts, InstanceFacts, ProbeAttempt, ProbeFacts, ProbeOutcome},
    rules::{exit, memory},
    words,
};

/// From this share of its CPU limit on, an instance counts as too busy to answer.
const BUSY_SHARE_MIN: f64 = 0.9;

/// Why it does not answer: a cause, the wording that goes into the message, and what to do.
#[derive(Debug)]
pub(super) struct Symptom {
    pub(super) cause: Cause,
    /// Holds the decisive fact; continues "Health check of service `web` failed: ".
    pub(super) wording: String,
    pub(super) next_steps: Vec<NextStep>,
}

/// `None`: the probes say nothing (there are none, or they succeed).
pub(super) fn diagnose(facts: &Facts, instance: &InstanceFacts) -> Option<Verdict> {
    let killed = present_trouble(facts, instance)
        .iter()
        .find(|exit| exit_codes::ending(exit).ended_by == EndedBy::FailedProbes);
    let probe = instance.probe.as_ref();
    let failing = probe.filter(|probe| is_failing(probe));
    if killed.is_none() && failing.is_none() {
        return None;
    }
    let over = killed.is_some() || probe.is_some_and(|probe| probe.threshold_reached);
    let retry = if over { Retry::No } else { Retry::UntilDeadline };
    let found = match memory::of_the_unready(facts, instance) {
        Some(found) => found.evidence_if(probe.cloned().map(Evidence::Probe)),
        None => finding(facts, instance, probe, killed, over).warn_all(memory::met_by_the_unready(instance)),
    };
    let reason = found.retry(retry).into_reason(facts);
    Some(if over {
        Verdict::Failure(reason)
    } else {
        Verdict::Waiting(reason)
    })
}

fn is_failing(probe: &ProbeFacts) -> bool {
    probe.threshold_reached
        || probe
            .transcript
            .last()
            .is_some_and(|attempt| !attempt.outcome.is_healthy())
}

fn finding(
    facts: &Facts,
    instance: &InstanceFacts,
    probe: Option<&ProbeFacts>,
    killed: Option<&ExitRecord>,
    over: bool,
) -> Finding {
    let symptom = probe.map_or_else(no_probe, |probe| symptom(facts, instance, probe));
    let message = message(facts, &symptom, killed, over);
    Finding::new(Code::ContainerHealthChecksFailed, symptom.cause, message)
        .evidence_if(sockets(instance, probe))
        .evidence_if(probe.cloned().map(Evidence::Probe))
        .evidence_if(killed.map(|exit| exit::evidence(instance, exit)))
        .evidence_if(cpu(instance))
        .evidence_if(outbound_failures(instance))
        .evidence_if(unknown_names(instance))
        .evidence_if(command(instance))
        .evidence_if(variables(&instance.variables))
        .warn_all(killed.map(memory::survived).unwrap_or_default())
        .warn_all(probe.map(redirect_notes).unwrap_or_default())
        .next_all(symptom.next_steps)
}

fn message(facts: &Facts, symptom: &Symptom, killed: Option<&ExitRecord>, over: bool) -> String {
    if !over {
        return format!(
            "{} is not answering yet: {}.",
            words::component_at_start(facts),
            symptom.wording
        );
    }
    let killed = killed.map_or(String::new(), |exit| {
        let memory = match (exit.memory.peak_bytes, exit.memory.limit_bytes) {
            (Some(_), Some(_)) => format!(
                "; memory: {}, so this was not out of memory",
                memory::against_limit(&exit.memory, None)
            ),
            _ => String::new(),
        };
        format!(
            "; Mainstay then ended it (exit code {}{memory})",
            exit_codes::ending(exit).shown_code
        )
    });
    format!(
        "Health check of {} failed: {}{killed}.",
        words::component(facts),
        symptom.wording
    )
}

fn no_probe() -> Symptom {
    Symptom {
        cause: Cause::NotDetermined,
        wording: "no probe succeeded in time, and no transcript was kept, so the cause was not determined"
            .to_owned(),
        next_steps: Vec::new(),
    }
}

/// The latest failing attempt decides: it tells what is true now.
fn symptom(facts: &Facts, instance: &InstanceFacts, probe: &ProbeFacts) -> Symptom {
    let Some(attempt) = probe
        .transcript
        .iter()
        .rev()
        .find(|attempt| !attempt.outcome.is_healthy())
    else {
        return unsteady(probe);
    };
    match &attempt.outcome {
        ProbeOutcome::Refused => probe_sockets::refused(facts, instance, probe, attempt),
        ProbeOutcome::TimedOut => timed_out(facts, instance, probe),
        ProbeOutcome::Unreachable => unreachable(attempt),
        ProbeOutcome::Broken { message } => not_http(facts, probe, message),
        ProbeOutcome::Response { status, .. } => probe_status::symptom(facts, probe, attempt, *status),
        ProbeOutcome::Connected => unsteady(probe),
    }
}

fn unsteady(probe: &ProbeFacts) -> Symptom {
    let definition = &probe.definition;
    Symptom {
        cause: Cause::NotDetermined,
        wording: format!(
            "{} probes of port {} did not succeed {} times in a row; the kept attempts show no failure, so the cause was not determined",
            probe.attempts, definition.port, definition.success_threshold
        ),
        next_steps: Vec::new(),
    }
}

/// ", 9 of 9 times"; nothing while there was only one attempt.
pub(super) fn times(probe: &ProbeFacts, same: impl Fn(&ProbeOutcome) -> bool) -> String {
    let kept = u32::try_from(probe.transcript.len()).unwrap_or(u32::MAX);
    let matching = u32::try_from(
        probe
            .transcript
            .iter()
            .filter(|attempt| same(&attempt.outcome))
            .count(),
    )
    .unwrap_or(0);
    match (kept, probe.attempts) {
        (_, 0 | 1) => String::new(),
        (kept, attempts) if kept >= attempts => format!(", {matching} of {attempts} times"),
        (kept, attempts) => format!(", {matching} of the {kept} kept attempts ({attempts} in all)"),
    }
}

fn timed_out(facts: &Facts, instance: &InstanceFacts, probe: &ProbeFacts) -> Symptom {
    let definition = &probe.definition;
    let request = request(probe);
    let count = times(probe, |outcome| *outcome == ProbeOutcome::TimedOut);
    let unanswered = format!(
        "{request} was not answered within {} s{count}",
        definition.timeout_seconds
    );
    if let Some(share) = busy(instance) {
        let wording = format!("{unanswered}, while the instance used {share} of its CPU limit");
        return Symptom {
            cause: Cause::TooBusy,
            wording,
            next_steps: timeout_steps(facts, probe),
        };
    }
    Symptom {
        cause: Cause::HealthTimeout,
        wording: unanswered,
        next_steps: timeout_steps(facts, probe),
    }
}

fn timeout_steps(facts: &Facts, probe: &ProbeFacts) -> Vec<NextStep> {
    let timeout = probe.definition.timeout_seconds.saturating_mul(5).min(120);
    vec![
        NextStep::new("Answer the probe without waiting for other services, or give it more time.")
            .with_spec(words::spec_lines(
                facts,
                &[&format!("health_check:\n  timeout_seconds: {timeout}")],
            )),
    ]
}

/// "GET /healthz on port 8080", "a connection to port 8080".
pub(super) fn request(probe: &ProbeFacts) -> String {
    let port = probe.definition.port;
    probe.definition.http_path.as_ref().map_or_else(
        || format!("a connection to port {port}"),
        |path| format!("GET {path} on port {port}"),
    )
}

fn unreachable(attempt: &ProbeAttempt) -> Symptom {
    Symptom {
        cause: Cause::InstanceUnreachable,
        wording: format!(
            "there is no route from Mainstay to the instance ({}); this is not the app's fault",
            attempt.target
        ),
        next_steps: Vec::new(),
    }
}

fn not_http(facts: &Facts, probe: &ProbeFacts, message: &str) -> Symptom {
    let port = probe.definition.port;
    Symptom {
        cause: Cause::HealthNotHttp,
        wording: format!("port {port} accepts connections, but what it answers is not HTTP ({})", words::excerpt(message, 100)),
        next_steps: vec![
            NextStep::new("Serve plain HTTP on that port (TLS ends at the router), or probe with a TCP connect: leave http_path out.")
                .with_spec(words::spec_lines(facts, &[&format!("health_check:\n  port: {port}")])),
        ],
    }
}

/// "98 %", when the instance is at its limit.
pub(super) fn busy(instance: &InstanceFacts) -> Option<String> {
    instance
        .cpu_share
        .filter(|share| *share >= BUSY_SHARE_MIN)
        .map(|share| format!("{:.0} %", share * 100.0))
}

fn sockets(instance: &InstanceFacts, probe: Option<&ProbeFacts>) -> Option<Evidence> {
    let sockets = instance.sockets.clone()?;
    Some(Evidence::Sockets(SocketEvidence {
        probed_port: probe.map(|probe| probe.definition.port),
        sockets,
        first_listen_after_ms: probe_sockets::listened_after_ms(instance),
    }))
}

fn cpu(instance: &InstanceFacts) -> Option<Evidence> {
    let share = instance.cpu_share?;
    Some(Evidence::Cpu(CpuEvidence {
        share,
        limit_millis: instance.size.cpu_millis,
        throttled_share: instance.cpu_throttled_share,
    }))
}

/// Redirects are healthy, but probes do not follow them: worth a note.
fn redirect_notes(probe: &ProbeFacts) -> Vec<String> {
    let redirect = probe
        .transcript
        .iter()
        .find_map(|attempt| match &attempt.outcome {
            ProbeOutcome::Response {
                status: status @ 300..=399,
                headers,
                ..
            } => {
                let location = headers
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case("location"));
                Some((*status, location.map(|(_, value)| value.clone())))
            }
            _ => None,
        });
    redirect
        .map(|(status, location)| {
            let to = location.map_or(String::new(), |location| format!(" to {location}"));
            format!(
                "The probe was redirected ({}{to}); that counts as healthy, and it is not followed.",
                words::http_status(status)
            )
        })
        .into_iter()
        .collect()
}

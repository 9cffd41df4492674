//! The probe was refused: what listens instead, and where?

use super::probes::{Symptom, busy, times};
use crate::{
    Cause, NextStep,
    facts::{
        Facts, InstanceFacts, ListeningSocket, OutboundFailure, OutboundResult, ProbeAttempt, ProbeFacts,
        ProbeOutcome, UnknownName,
    },
    refine, words,
};

/// Nothing answered on the probed port: what listens instead?
pub(super) fn refused(
    facts: &Facts,
    instance: &InstanceFacts,
    probe: &ProbeFacts,
    attempt: &ProbeAttempt,
) -> Symptom {
    let port = probe.definition.port;
    let Some(sockets) = &instance.sockets else {
        return Symptom {
            cause: Cause::NotDetermined,
            wording: format!(
                "{}; its sockets were not seen, so the cause was not determined",
                refusal(probe)
            ),
            next_steps: Vec::new(),
        };
    };
    let at_port: Vec<&ListeningSocket> = sockets.iter().filter(|socket| socket.port == port).collect();
    match (at_port.as_slice(), sockets.as_slice()) {
        ([], []) => silent(facts, instance, probe),
        ([], all) => other_port(facts, instance, probe, all),
        (at_port, _) => at_port.iter().find(|socket| !socket.is_loopback()).map_or_else(
            || loopback(facts, probe, at_port[0]),
            |socket| late(facts, instance, probe, attempt, socket),
        ),
    }
}

/// "connection refused on port 8080, 9 of 9 times".
fn refusal(probe: &ProbeFacts) -> String {
    format!(
        "connection refused on port {}{}",
        probe.definition.port,
        times(probe, |outcome| *outcome == ProbeOutcome::Refused)
    )
}

fn loopback(facts: &Facts, probe: &ProbeFacts, socket: &ListeningSocket) -> Symptom {
    let wording = format!(
        "{}, because {} listens on {} only, which cannot be reached from outside the instance",
        refusal(probe),
        words::socket_owner(socket),
        words::socket_address(socket),
    );
    Symptom {
        cause: Cause::BoundToLoopback,
        wording,
        next_steps: bind_steps(facts, socket.port),
    }
}

fn bind_steps(facts: &Facts, port: u16) -> Vec<NextStep> {
    vec![
        NextStep::new(format!(
            "Make the app listen on 0.0.0.0:{port} instead of the loopback address."
        )),
        NextStep::new(
            "Many servers take the address from a variable or an option (HOST, HOSTNAME, --host, --bind).",
        )
        .with_spec(words::spec_lines(
            facts,
            &["envs:\n- key: HOST\n  value: 0.0.0.0"],
        )),
    ]
}

fn other_port(
    facts: &Facts,
    instance: &InstanceFacts,
    probe: &ProbeFacts,
    sockets: &[ListeningSocket],
) -> Symptom {
    let port = probe.definition.port;
    // A socket that the router could reach says more than a debugger's on the loopback address.
    let reachable: Vec<&ListeningSocket> = sockets.iter().filter(|socket| !socket.is_loopback()).collect();
    let shown: Vec<&ListeningSocket> = if reachable.is_empty() {
        sockets.iter().collect()
    } else {
        reachable.clone()
    };
    let places: Vec<String> = shown.iter().map(|socket| words::socket_address(socket)).collect();
    let only_loopback = if reachable.is_empty() {
        " only, and on the loopback address at that"
    } else {
        ""
    };
    let wording = format!(
        "{} listens on {}{only_loopback}, the probe asks port {port} ({})",
        words::socket_owner(shown[0]),
        words::list(&places, 3),
        refusal(probe),
    );
    let mut next_steps = vec![
        NextStep::new(format!(
            "Set http_port to the port the app uses, {}.",
            shown[0].port
        ))
        .with_spec(words::spec_lines(
            facts,
            &[&format!("http_port: {}", shown[0].port)],
        )),
        NextStep::new(port_advice(instance, port)),
    ];
    if reachable.is_empty() {
        next_steps.push(NextStep::new(
            "In both cases listen on 0.0.0.0, not on the loopback address.",
        ));
    }
    Symptom {
        cause: Cause::ListensOnOtherPort,
        wording,
        next_steps,
    }
}

fn port_advice(instance: &InstanceFacts, port: u16) -> String {
    if instance.variables.iter().any(|name| name == "PORT") {
        format!("Or let the app read PORT, which is set to {port}.")
    } else {
        format!("Or make the app listen on port {port}.")
    }
}

/// The port is open by now, so it was opened after the last refusal.
fn late(
    facts: &Facts,
    instance: &InstanceFacts,
    probe: &ProbeFacts,
    attempt: &ProbeAttempt,
    socket: &ListeningSocket,
) -> Symptom {
    let needed = listened_after_ms(instance).map_or_else(
        || "needed longer than the probe waits".to_owned(),
        |milliseconds| format!("needed {} to listen", words::duration(milliseconds)),
    );
    let started = instance.started_at.map_or(String::new(), |start| {
        format!(
            " {} after the start",
            words::duration(words::milliseconds_between(start, attempt.at))
        )
    });
    let wording = format!(
        "{} {needed} on {}; the last probe was refused{started}",
        words::socket_owner(socket),
        words::socket_address(socket),
    );
    Symptom {
        cause: Cause::StillStarting,
        wording,
        next_steps: patience_steps(facts, probe),
    }
}

/// Alive, and not one listening socket.
fn silent(facts: &Facts, instance: &InstanceFacts, probe: &ProbeFacts) -> Symptom {
    let port = probe.definition.port;
    let ran = ran_for(facts, instance);
    if instance.was_ready || instance.first_listen_at.is_some() {
        let wording = format!(
            "it listened before, but nothing listens now; the probe asks port {port} ({})",
            refusal(probe)
        );
        return Symptom {
            cause: Cause::StoppedListening,
            wording,
            next_steps: Vec::new(),
        };
    }
    if let Some(share) = busy(instance) {
        let wording = format!(
            "it opened no port {ran} while it used {share} of its CPU limit; the probe asks port {port}"
        );
        return Symptom {
            cause: Cause::TooBusy,
            wording,
            next_steps: patience_steps(facts, probe),
        };
    }
    let recent = |failure: &&OutboundFailure| failure.is_shortly_before(facts.observed_at);
    if let Some(failure) = instance.outbound_failures.iter().rfind(recent) {
        let wording = format!(
            "it opened no port {ran}; its connection to {} is {}",
            std::net::SocketAddr::new(failure.address, failure.port),
            match failure.result {
                OutboundResult::TimedOut => "unanswered",
                other => other.words(),
            },
        );
        return Symptom {
            cause: Cause::StillStarting,
            wording,
            next_steps: patience_steps(facts, probe),
        };
    }
    let recent = instance.unknown_names.iter();
    let recent: Vec<&UnknownName> = recent
        .filter(|unknown| unknown.is_shortly_before(facts.observed_at))
        .collect();
    if let Some(name) = refine::last_asked_for(&recent) {
        return Symptom {
            cause: Cause::StillStarting,
            wording: format!("it opened no port {ran}; the name {name}, which it looks up, does not exist"),
            next_steps: patience_steps(facts, probe),
        };
    }
    let wording = format!("the process runs, but it opened no port {ran}; the probe asks port {port}");
    if probe.threshold_reached {
        Symptom {
            cause: Cause::NeverListened,
            wording,
            next_steps: never_listened_steps(facts, probe),
        }
    } else {
        Symptom {
            cause: Cause::StillStarting,
            wording,
            next_steps: patience_steps(facts, probe),
        }
    }
}

/// "in 95 s", "so far".
fn ran_for(facts: &Facts, instance: &InstanceFacts) -> String {
    let end = instance
        .exits
        .last()
        .map_or(facts.observed_at, |exit| exit.ended_at);
    instance.started_at.map_or("so far".to_owned(), |start| {
        format!("in {}", words::duration(words::milliseconds_between(start, end)))
    })
}

pub(super) fn listened_after_ms(instance: &InstanceFacts) -> Option<u64> {
    Some(words::milliseconds_between(
        instance.started_at?,
        instance.first_listen_at?,
    ))
}

fn never_listened_steps(facts: &Facts, probe: &ProbeFacts) -> Vec<NextStep> {
    let port = probe.definition.port;
    vec![
        NextStep::new(format!("If it is a web server, make it listen on 0.0.0.0:{port}; if it starts slowly, raise the probe's patience."))
            .with_spec(patience_lines(facts, probe)),
        NextStep::new("If it serves no requests, make it a worker.")
            .with_spec(format!("workers:\n- name: {}", facts.component)),
    ]
}

/// How long the probe waits in all.
fn budget_seconds(probe: &ProbeFacts) -> u64 {
    let definition = &probe.definition;
    u64::from(definition.initial_delay_seconds)
        + u64::from(definition.period_seconds) * u64::from(definition.failure_threshold)
}

fn patience_steps(facts: &Facts, probe: &ProbeFacts) -> Vec<NextStep> {
    vec![
        NextStep::new(format!(
            "Listen first and do the slow work afterwards, or raise the probe's patience, now {}.",
            words::duration(budget_seconds(probe).saturating_mul(1000))
        ))
        .with_spec(patience_lines(facts, probe)),
    ]
}

fn patience_lines(facts: &Facts, probe: &ProbeFacts) -> String {
    let delay = budget_seconds(probe).max(30).saturating_mul(2).min(3600);
    words::spec_lines(
        facts,
        &[&format!("health_check:\n  initial_delay_seconds: {delay}")],
    )
}

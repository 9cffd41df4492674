//! Evidence as plain text: a label and a few lines, readable without colour; who shows them wraps them.

mod build;
mod instance;

use jiff::Timestamp;

use crate::{
    CpuEvidence, Evidence,
    facts::{Changes, DatabaseFacts, DatabaseOutcome, QuotaFacts},
    rules::quota::amount,
    words,
};

/// Less is noise.
const THROTTLED_SHOWN_MIN: f64 = 0.01;

impl Evidence {
    /// The spelling of the kind on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Memory(_) => "memory",
            Self::Sockets(_) => "sockets",
            Self::Probe(_) => "probe",
            Self::Cpu(_) => "cpu",
            Self::Command(_) => "command",
            Self::ExecFault(_) => "exec_fault",
            Self::Step(_) => "step",
            Self::StepTimes { .. } => "step_times",
            Self::TimeLimit(_) => "time_limit",
            Self::BuildFault(_) => "build_fault",
            Self::Source(_) => "source",
            Self::Builder(_) => "builder",
            Self::Detection { .. } => "detection",
            Self::ToolVersions { .. } => "tool_versions",
            Self::ToolFindings { .. } => "tool_findings",
            Self::ReusedBuild(_) => "reused_build",
            Self::Queue(_) => "queue",
            Self::OutboundFailures { .. } => "outbound_failures",
            Self::UnknownNames { .. } => "unknown_names",
            Self::LogHint(_) => "log_hint",
            Self::Variables { .. } => "variables",
            Self::Changes(_) => "changes",
            Self::Database(_) => "database",
            Self::Quota(_) => "quota",
            Self::Incident(_) => "incident",
            Self::LogTail { .. } => "log_tail",
        }
    }

    /// One or two words: "exit", "listening", "probe".
    pub fn label(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Memory(_) => "memory",
            Self::Sockets(_) => "listening",
            Self::Probe(_) => "probe",
            Self::Cpu(_) => "cpu",
            Self::Command(_) => "command",
            Self::ExecFault(_) => "executed",
            Self::Step(_) => "step",
            Self::StepTimes { .. } => "step times",
            Self::TimeLimit(_) => "time limit",
            Self::BuildFault(_) => "tried",
            Self::Source(_) => "source",
            Self::Builder(_) => "built by",
            Self::Detection { .. } => "detection",
            Self::ToolVersions { .. } => "tools",
            Self::ToolFindings { .. } => "reported",
            Self::ReusedBuild(_) => "reused",
            Self::Queue(_) => "queue",
            Self::OutboundFailures { .. } => "connects",
            Self::UnknownNames { .. } => "unknown names",
            Self::LogHint(_) => "log line",
            Self::Variables { .. } => "variables",
            Self::Changes(_) => "changed",
            Self::Database(_) => "database",
            Self::Quota(_) => "quota",
            Self::Incident(_) => "incident",
            Self::LogTail { .. } => "log",
        }
    }

    /// The piece as lines of text; never empty.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Exit(exit) => instance::exit_lines(exit),
            Self::Memory(memory) => instance::memory_lines(memory),
            Self::Sockets(sockets) => instance::socket_lines(sockets),
            Self::Probe(probe) => instance::probe_lines(probe),
            Self::Cpu(cpu) => cpu_lines(cpu),
            Self::Command(command) => instance::command_lines(command),
            Self::ExecFault(fault) => instance::exec_fault_lines(fault),
            Self::Step(step) => build::step_lines(step),
            Self::StepTimes { steps } => steps
                .iter()
                .map(|step| {
                    format!(
                        "{}  {}",
                        words::duration(step.elapsed_ms),
                        words::excerpt(&step.text, 60)
                    )
                })
                .collect(),
            Self::TimeLimit(limit) => build::time_limit_lines(limit),
            Self::BuildFault(fault) => build::build_fault_lines(fault),
            Self::Source(source) => vec![build::source_line(source)],
            Self::Builder(choice) => build::builder_lines(choice),
            Self::Detection { verdicts } => verdicts.iter().map(build::verdict_line).collect(),
            Self::ToolVersions { tools, reasons } => build::tool_lines(tools, reasons),
            Self::ToolFindings { findings } => findings.iter().map(build::finding_line).collect(),
            Self::ReusedBuild(reused) => build::reused_lines(reused),
            Self::Queue(position) => vec![build::queue_line(position)],
            Self::OutboundFailures { failures } => failures
                .iter()
                .map(|failure| {
                    let to = std::net::SocketAddr::new(failure.address, failure.port);
                    format!("{}  {to} {}", clock(failure.at), failure.result.words())
                })
                .collect(),
            Self::UnknownNames { names } => names
                .iter()
                .map(|unknown| format!("{}  {}", clock(unknown.at), unknown.name))
                .collect(),
            Self::LogHint(hint) => vec![hint.line.clone()],
            Self::Variables { names } => vec![names.join(", ")],
            Self::Changes(changes) => changes_lines(changes),
            Self::Database(database) => database_lines(database),
            Self::Quota(quota) => quota_lines(quota),
            Self::Incident(incident) => {
                let id = incident
                    .incident_id
                    .as_ref()
                    .map_or(String::new(), |id| format!("{id}: "));
                vec![format!(
                    "{id}{}, tried {}",
                    incident.operation,
                    count(u64::from(incident.attempts), "time")
                )]
            }
            Self::LogTail { lines } => lines.clone(),
        }
    }
}

/// With the deployment that it is compared with, so that one can look at it.
fn changes_lines(changes: &Changes) -> Vec<String> {
    let Some(since) = &changes.since else {
        return changes.sentences.clone();
    };
    if changes.sentences.is_empty() {
        return vec![
            format!("nothing since deployment {since}:"),
            "spec, sources and tools are the same".to_owned(),
        ];
    }
    let heading = format!("since deployment {since}:");
    std::iter::once(heading)
        .chain(changes.sentences.clone())
        .collect()
}

/// "12:00:02 UTC".
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// "1 time", "3 times".
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn cpu_lines(cpu: &CpuEvidence) -> Vec<String> {
    let used = format!(
        "{:.0} % of its limit ({})",
        cpu.share * 100.0,
        cores(cpu.limit_millis)
    );
    let held_back = cpu.throttled_share.filter(|share| *share >= THROTTLED_SHOWN_MIN);
    let held_back = held_back.map_or(String::new(), |share| {
        format!(", held back by it {:.0} % of the time", share * 100.0)
    });
    vec![used + &held_back]
}

fn cores(millis: u32) -> String {
    if millis.is_multiple_of(1000) {
        count(u64::from(millis / 1000), "core")
    } else {
        format!("{:.2} cores", f64::from(millis) / 1000.0)
    }
}

fn database_lines(database: &DatabaseFacts) -> Vec<String> {
    let attempts = count(u64::from(database.attempts), "attempt");
    let mut lines = vec![format!(
        "{} ({}) at {}, {attempts}",
        database.name, database.engine, database.address
    )];
    match &database.outcome {
        DatabaseOutcome::Available => {}
        DatabaseOutcome::NotAvailable {
            problem,
            server_code,
            message,
        } => {
            lines.push(format!("failing layer: {}", problem.layer()));
            lines.extend(
                server_code
                    .as_ref()
                    .map(|code| format!("the server's code: {code}")),
            );
            lines.push(message.clone());
        }
        DatabaseOutcome::NotFound {
            reference,
            place,
            existing,
        } => {
            lines.push(format!("{reference} in {place}"));
            lines.push(format!("existing: {}", words::list(existing, 10)));
        }
        DatabaseOutcome::LimitExceeded { users, .. } => {
            lines.extend(users.iter().map(|(name, used)| format!("{name}: {used}")));
        }
    }
    lines
}

fn quota_lines(quota: &QuotaFacts) -> Vec<String> {
    let show = |number: u64| amount(quota.unit, number);
    let mut lines = vec![format!(
        "{}: limit {}, used {}, asked {}",
        quota.resource,
        show(quota.limit),
        show(quota.used),
        show(quota.asked)
    )];
    lines.extend(
        quota
            .biggest
            .iter()
            .map(|(name, used)| format!("{name}: {}", show(*used))),
    );
    lines
}

//! Evidence about an instance.

use super::{clock, count};
use crate::{
    ExitEvidence, MemoryEvidence, MemoryPoint, SocketEvidence,
    exit_codes::{self, EndedBy},
    facts::{CommandFacts, CommandSource, ExecFault, ProbeAttempt, ProbeFacts, ProbeOutcome},
    words,
};

/// The headers that help to understand an answer; the others are in the data.
const TELLING_HEADERS: [&str; 6] = [
    "location",
    "content-type",
    "server",
    "www-authenticate",
    "mainstay-reason",
    "mainstay-detail",
];

pub(super) fn exit_lines(exit: &ExitEvidence) -> Vec<String> {
    let mut lines = vec![format!("{}, at {}", exit.story, clock(exit.ended_at))];
    // Where it is known who ended it, the story says more than the table.
    if matches!(exit.ended_by, EndedBy::Itself | EndedBy::Signal) {
        lines.push(exit_codes::exit_code(exit.shown_code).meaning);
    }
    let mut life = Vec::new();
    life.extend(
        exit.uptime_ms
            .map(|uptime| format!("ran {}", words::duration(uptime))),
    );
    if exit.restarts > 0 {
        life.push(count(u64::from(exit.restarts), "restart"));
    }
    if exit.same_ends > 1 {
        life.push(format!(
            "ended the same way {} in a row",
            count(u64::from(exit.same_ends), "time")
        ));
    }
    if exit.core_dumped {
        life.push("core dumped".to_owned());
    }
    if !life.is_empty() {
        lines.push(life.join(", "));
    }
    lines
}

pub(super) fn memory_lines(memory: &MemoryEvidence) -> Vec<String> {
    let amount = |bytes: Option<u64>| bytes.map_or("not recorded".to_owned(), words::bytes);
    let size = if memory.size_slug.is_empty() {
        String::new()
    } else {
        format!(" (size {})", memory.size_slug)
    };
    let mut lines = vec![format!(
        "peak {}, limit {}{size}",
        amount(memory.peak_bytes),
        amount(memory.limit_bytes)
    )];
    for kill in memory.kills.iter().take(5) {
        let victim = kill
            .process
            .as_ref()
            .map_or("a process".to_owned(), |name| format!("`{name}`"));
        let main = match kill.main_process {
            Some(true) => ", the main process",
            Some(false) => ", a child of the main process",
            None => "",
        };
        lines.push(format!("{}  the kernel killed {victim}{main}", clock(kill.at)));
    }
    if memory.growth.len() > 1 {
        let point = |point: &MemoryPoint| {
            format!(
                "{} after {}",
                words::bytes(point.bytes),
                words::duration(point.after_ms)
            )
        };
        let points: Vec<String> = memory.growth.iter().map(point).collect();
        lines.push(format!("in use: {}", points.join(", ")));
    }
    lines.extend(
        memory
            .fitting_size
            .as_ref()
            .map(|size| format!("smallest size that would have held the peak: {size}")),
    );
    if memory.hidden_by_shell {
        lines.push("the main process ended with a status of its own, which hides the kill".to_owned());
    }
    lines
}

pub(super) fn socket_lines(sockets: &SocketEvidence) -> Vec<String> {
    let mut lines: Vec<String> = sockets
        .sockets
        .iter()
        .map(|socket| {
            let reach = if socket.is_loopback() {
                ", only from inside"
            } else {
                ""
            };
            format!(
                "{}  {}{reach}",
                words::socket_address(socket),
                words::socket_owner(socket)
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    if let Some(milliseconds) = sockets.first_listen_after_ms {
        lines.push(format!("since {} after the start", words::duration(milliseconds)));
    }
    if let Some(port) = sockets.probed_port {
        lines.push(format!("the probe asks port {port}"));
    }
    lines
}

pub(super) fn probe_lines(probe: &ProbeFacts) -> Vec<String> {
    let definition = &probe.definition;
    let what = definition.http_path.as_ref().map_or_else(
        || format!("connect to port {}", definition.port),
        |path| format!("GET {path} on port {}", definition.port),
    );
    let kind = if probe.liveness { " (liveness)" } else { "" };
    let way = if probe.through_router {
        " through the router"
    } else {
        ""
    };
    let mut lines = vec![
        format!(
            "{what}{way}{kind}, every {} s, answer within {} s",
            definition.period_seconds, definition.timeout_seconds
        ),
        format!(
            "{} so far; gives up after {} in a row",
            count(u64::from(probe.attempts), "attempt"),
            count(u64::from(definition.failure_threshold), "failure")
        ),
    ];
    lines.extend(transcript_lines(&probe.transcript));
    lines
}

/// Equal outcomes in a row make one line.
fn transcript_lines(transcript: &[ProbeAttempt]) -> Vec<String> {
    let mut lines = Vec::new();
    for run in transcript.chunk_by(|left, right| same_outcome(&left.outcome, &right.outcome)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let when = if run.len() == 1 {
            clock(first.at)
        } else {
            format!(
                "{} to {}, {} times",
                first.at.strftime("%H:%M:%S"),
                clock(last.at),
                run.len()
            )
        };
        lines.push(format!("{when}: {} ({})", outcome(&last.outcome), last.target));
        lines.extend(answer_lines(&last.outcome));
    }
    lines
}

fn same_outcome(left: &ProbeOutcome, right: &ProbeOutcome) -> bool {
    match (left, right) {
        (ProbeOutcome::Response { status: left, .. }, ProbeOutcome::Response { status: right, .. }) => {
            left == right
        }
        _ => left == right,
    }
}

fn outcome(outcome: &ProbeOutcome) -> String {
    match outcome {
        ProbeOutcome::Connected => "connected".to_owned(),
        ProbeOutcome::Response { status, .. } => words::http_status(*status),
        ProbeOutcome::Refused => "connection refused".to_owned(),
        ProbeOutcome::TimedOut => "no answer in time".to_owned(),
        ProbeOutcome::Unreachable => "no route to host".to_owned(),
        ProbeOutcome::Broken { message } => format!("no HTTP answer: {}", words::excerpt(message, 100)),
    }
}

fn answer_lines(outcome: &ProbeOutcome) -> Vec<String> {
    let ProbeOutcome::Response {
        headers, body_start, ..
    } = outcome
    else {
        return Vec::new();
    };
    let telling =
        |(name, _): &&(String, String)| TELLING_HEADERS.contains(&name.to_ascii_lowercase().as_str());
    let mut lines: Vec<String> = headers
        .iter()
        .filter(telling)
        .map(|(name, value)| format!("  {name}: {value}"))
        .collect();
    lines.extend(
        body_start
            .lines()
            .filter(|line| !line.trim().is_empty())
            .take(6)
            .map(|line| format!("  | {line}")),
    );
    lines
}

pub(super) fn command_lines(command: &CommandFacts) -> Vec<String> {
    let source = match command.source {
        Some(CommandSource::RunCommand) => " (from run_command)",
        Some(CommandSource::Procfile) => " (from the Procfile)",
        Some(CommandSource::Buildpack) => " (chosen by the buildpack)",
        Some(CommandSource::Image) => " (from the image)",
        None => "",
    };
    let mut lines = vec![format!("{}{source}", words::command(&command.argv))];
    let place = command
        .working_dir
        .as_ref()
        .map(|directory| format!("in {directory}"));
    let user = command.user.as_ref().map(|user| format!("as user {user}"));
    let rest: Vec<String> = place.into_iter().chain(user).collect();
    if !rest.is_empty() {
        lines.push(rest.join(", "));
    }
    lines
}

pub(super) fn exec_fault_lines(fault: &ExecFault) -> Vec<String> {
    let when = if fault.preflight {
        "found before anything was started"
    } else {
        "the kernel refused to execute it"
    };
    let mut lines = vec![format!(
        "{} ({when})",
        if fault.argv.is_empty() {
            "nothing".to_owned()
        } else {
            words::command(&fault.argv)
        }
    )];
    lines.extend(
        fault
            .resolved_path
            .as_ref()
            .map(|path| format!("resolved to {path}")),
    );
    lines.extend(
        fault
            .errno
            .map(|errno| format!("errno {errno} ({})", errno_name(errno))),
    );
    lines.extend(fault.search_path.as_ref().map(|path| format!("PATH {path}")));
    if !fault.close_matches.is_empty() {
        lines.push(format!(
            "similar in the image: {}",
            fault.close_matches.join(", ")
        ));
    }
    lines
}

fn errno_name(errno: i32) -> &'static str {
    match errno {
        1 => "EPERM, operation not permitted",
        2 => "ENOENT, no such file or directory",
        5 => "EIO, input/output error",
        7 => "E2BIG, argument list too long",
        8 => "ENOEXEC, exec format error",
        11 => "EAGAIN, resource temporarily unavailable",
        12 => "ENOMEM, out of memory",
        13 => "EACCES, permission denied",
        20 => "ENOTDIR, not a directory",
        21 => "EISDIR, is a directory",
        26 => "ETXTBSY, text file busy",
        28 => "ENOSPC, no space left on device",
        36 => "ENAMETOOLONG, name too long",
        40 => "ELOOP, too many symbolic links",
        _ => "see errno(3)",
    }
}

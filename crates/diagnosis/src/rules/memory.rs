//! Memory kills: counted by the kernel, and belonging to the end (the main process, or at most 10 s before it).

use jiff::Timestamp;
use mainstay_spec::sizes::{self, InstanceSize};

use super::{Finding, command, decisive_exit};
use crate::{
    Cause, Code, Evidence, MemoryEvidence, MemoryPoint, NextStep,
    exit_codes::{MEMORY_KILL_TO_END_MAX, decisive_memory_kill},
    facts::{ExitRecord, Facts, InstanceFacts, MemoryKill, MemoryRecord, MemorySample},
    rules::exit,
    words,
};

/// Enough to see whether it grew, jumped, or was always too large.
const GROWTH_POINTS: usize = 6;

/// The instance failed of a memory kill.
pub(super) fn instance(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    let exit = decisive_exit(facts, instance)?;
    let kill = decisive_memory_kill(exit)?;
    let child = killed_child(exit, kill);
    let (cause, message) = if child {
        (
            Cause::ChildKilledForMemory,
            child_message(facts, instance, exit, kill),
        )
    } else {
        (Cause::MemoryLimit, main_message(facts, instance, exit, kill))
    };
    let finding = Finding::new(Code::ContainerOutOfMemory, cause, message)
        .evidence(Evidence::Memory(evidence(
            instance,
            &exit.memory,
            growth(exit.started_at, &exit.course.memory),
            child,
        )))
        .evidence(exit::evidence(instance, exit))
        .evidence_if(command(instance))
        .retry(exit::retry(instance));
    Some(finding.next_all(next_steps(facts, instance)))
}

/// It lives and answers no probe, while what it starts is killed for memory again and again: a server whose workers do not fit.
pub(super) fn of_the_unready(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    const KILLS_MIN: usize = 2;
    let memory = &instance.memory;
    let last = memory.kills.last()?;
    let present = facts.observed_at.duration_since(last.at).abs() <= MEMORY_KILL_TO_END_MAX;
    if memory.kills.len() < KILLS_MIN || !present {
        return None;
    }
    let message = format!(
        "{} does not answer because the kernel keeps killing what it starts for memory: {}, {}, size {}; its main process goes on.",
        words::component_at_start(facts),
        victims(&memory.kills),
        against_limit(memory, Some(instance.size.memory_bytes)),
        size(instance),
    );
    let growth = growth(instance.started_at, &instance.memory_course);
    let finding = Finding::new(Code::ContainerOutOfMemory, Cause::ChildKilledForMemory, message)
        .evidence(Evidence::Memory(evidence(instance, memory, growth, true)))
        .evidence_if(command(instance));
    Some(finding.next_all(next_steps(facts, instance)))
}

/// Fewer than that are worth a word.
pub(super) fn met_by_the_unready(instance: &InstanceFacts) -> Option<String> {
    let memory = &instance.memory;
    (!memory.kills.is_empty()).then(|| {
        format!(
            "The kernel killed {} for memory meanwhile ({}).",
            victims(&memory.kills),
            against_limit(memory, Some(instance.size.memory_bytes))
        )
    })
}

/// Kills that did not end it are worth a warning.
pub(super) fn survived(exit: &ExitRecord) -> Vec<String> {
    if exit.memory.kills.is_empty() || decisive_memory_kill(exit).is_some() {
        return Vec::new();
    }
    vec![format!(
        "The kernel killed {} for memory {} before the end ({}); the instance survived that.",
        victims(&exit.memory.kills),
        words::duration(words::milliseconds_between(
            exit.memory.kills[0].at,
            exit.ended_at
        )),
        against_limit(&exit.memory, None),
    )]
}

/// "`node`", "a process", "3 processes (`node`, `sh`)".
pub(super) fn victims(kills: &[MemoryKill]) -> String {
    let mut names: Vec<&String> = kills.iter().filter_map(|kill| kill.process.as_ref()).collect();
    names.dedup();
    match (kills.len(), names.as_slice()) {
        (1, [name]) => format!("`{name}`"),
        (1, _) => "a process".to_owned(),
        (count, []) => format!("{count} processes"),
        (count, names) => format!("{count} processes ({})", words::quoted_list(names, 3)),
    }
}

/// "peak 512 MiB of 512 MiB", "limit 512 MiB".
pub(super) fn against_limit(memory: &MemoryRecord, limit_of_size: Option<u64>) -> String {
    match (memory.peak_bytes, memory.limit_bytes.or(limit_of_size)) {
        (Some(peak), Some(limit)) => format!("peak {} of {}", words::bytes(peak), words::bytes(limit)),
        (None, Some(limit)) => format!("limit {}", words::bytes(limit)),
        (Some(peak), None) => format!("peak {}", words::bytes(peak)),
        (None, None) => "limit not recorded".to_owned(),
    }
}

fn killed_child(exit: &ExitRecord, kill: &MemoryKill) -> bool {
    match kill.main_process {
        Some(main) => !main,
        // Not seen: a main process that was not ended by SIGKILL cannot have been the victim.
        None => exit.termination.is_some_and(|end| end.shell_code() != 137),
    }
}

fn main_message(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord, kill: &MemoryKill) -> String {
    let victim = kill
        .process
        .as_ref()
        .map_or(String::new(), |name| format!(" (process `{name}`)"));
    format!(
        "{} was killed for memory{}{victim}: {}, size {} (exit code 137, SIGKILL by the kernel).",
        words::component_at_start(facts),
        exit::after(exit),
        against_limit(&exit.memory, Some(instance.size.memory_bytes)),
        size(instance),
    )
}

fn child_message(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord, kill: &MemoryKill) -> String {
    let child = kill
        .process
        .as_ref()
        .map_or("one of its processes".to_owned(), |name| {
            format!("its process `{name}`")
        });
    let own_end = crate::exit_codes::ending(exit).story;
    let gap = words::milliseconds_between(kill.at, exit.ended_at);
    format!(
        "{} ended because the kernel killed {child} for memory: {}, size {}; {} later the main process {own_end}.",
        words::component_at_start(facts),
        against_limit(&exit.memory, Some(instance.size.memory_bytes)),
        size(instance),
        words::duration(gap),
    )
}

fn size(instance: &InstanceFacts) -> &str {
    if instance.size.slug.is_empty() {
        "not named"
    } else {
        &instance.size.slug
    }
}

fn evidence(
    instance: &InstanceFacts,
    memory: &MemoryRecord,
    growth: Vec<MemoryPoint>,
    child: bool,
) -> MemoryEvidence {
    let peak = memory.peak_bytes.unwrap_or(0).max(instance.size.memory_bytes);
    MemoryEvidence {
        limit_bytes: memory.limit_bytes.or(Some(instance.size.memory_bytes)),
        peak_bytes: memory.peak_bytes,
        size_slug: instance.size.slug.clone(),
        kills: memory.kills.clone(),
        hidden_by_shell: child,
        growth,
        fitting_size: larger_size(peak).map(|size| size.slug.to_owned()),
    }
}

/// A few points of the whole life, evenly spread; the first and the last are among them.
fn growth(started_at: Option<Timestamp>, samples: &[MemorySample]) -> Vec<MemoryPoint> {
    let Some((started, last)) = started_at.zip(samples.len().checked_sub(1)) else {
        return Vec::new();
    };
    let points = GROWTH_POINTS.min(samples.len());
    let place = |point: usize| point * last / points.saturating_sub(1).max(1);
    let point = |sample: &MemorySample| MemoryPoint {
        after_ms: words::milliseconds_between(started, sample.at),
        bytes: sample.bytes,
    };
    (0..points).map(|index| point(&samples[place(index)])).collect()
}

fn next_steps(facts: &Facts, instance: &InstanceFacts) -> Vec<NextStep> {
    let mut steps = Vec::new();
    if let Some(larger) = larger_size(instance.size.memory_bytes) {
        steps.push(
            NextStep::new(format!(
                "Use a larger instance; the smallest size that would have held the peak has {}.",
                words::bytes(larger.memory_bytes)
            ))
            .with_spec(words::spec_lines(
                facts,
                &[&format!("instance_size_slug: {}", larger.slug)],
            )),
        );
    }
    steps.push(NextStep::new(
        "Or let it use less: fewer workers or threads, smaller caches, or the runtime's own limit below the instance's.",
    ));
    steps
}

/// The smallest size with more memory than this one. At the moment of a kill the peak is the limit, so more cannot be known.
fn larger_size(memory_bytes: u64) -> Option<&'static InstanceSize> {
    sizes::ALL
        .iter()
        .filter(|size| !size.legacy && !size.single_instance_only && size.memory_bytes > memory_bytes)
        .min_by_key(|size| size.memory_bytes)
}

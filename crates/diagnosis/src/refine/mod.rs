//! Refinement: the code is decided; here words of the log, and facts that are no proof alone, may make the cause finer.
//! Facts first; a word of the log counts only where no fact contradicts it (a variable "missing" that is set is "refused").

mod build_words;
mod configuration;
mod connections;
mod exec_line;
mod generated;
mod left_out;
mod names;
mod pattern;
mod tables;
mod wording;

pub(crate) use left_out::of_command;
pub(crate) use names::last_asked_for;

use crate::{
    Cause, LogHint, NextStep,
    facts::{
        BuildFacts, DatabaseFacts, ExitRecord, Facts, InstanceFacts, RunTimeVariable, StepFacts, Termination,
        ToolFinding,
    },
    refine::{build_words::Said, pattern::Hit},
    rules, words,
};

/// A finer cause, with the wording that goes into the message.
#[derive(Debug)]
pub(crate) struct Refinement {
    pub(crate) cause: Cause,
    /// Continues "… exited with code 1": begins with ", ", ": " or "; ".
    pub(crate) wording: String,
    pub(crate) hint: Option<LogHint>,
    pub(crate) next_steps: Vec<NextStep>,
}

/// Why a process ended, where more than its status is known.
pub(crate) fn exit(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord) -> Option<Refinement> {
    if exit.termination.is_some_and(Termination::is_success) {
        return None;
    }
    if let Some(refinement) = exec_line::without_shell(facts, instance) {
        return Some(refinement);
    }
    let hit = pattern::find(&facts.log_tail, tables::RUN).filter(|hit| agrees(hit.cause, exit));
    match hit {
        Some(hit) => {
            let connects = matches!(
                hit.cause,
                Cause::ConnectionRefused | Cause::ConnectionTimedOut | Cause::HostUnreachable
            );
            let heard = match hit.cause {
                Cause::HostNotFound => names::looked_up(instance, exit, &hit.line),
                _ if connects => connections::destination(instance, exit, &hit.line),
                _ => None,
            };
            let mut refinement = from_hit(facts, instance, &settle(facts, instance, hit));
            refinement.wording.extend(heard);
            Some(refinement)
        }
        None => process_limit(exit)
            .or_else(|| configuration::only_difference(facts, instance))
            .or_else(|| connections::refinement(facts, instance, exit)),
    }
}

/// What is known of an end, with what the probe of an address in a variable met: that counts where nothing better is known, and tells that a
/// connection of which the log speaks was one to a database.
pub(crate) fn with_database(refined: Option<Refinement>, database: &DatabaseFacts) -> Option<Refinement> {
    let Some((cause, wording)) = rules::of_unknown_database(database) else {
        return refined;
    };
    match refined {
        Some(refined) if cause.of_any_connection() == Some(refined.cause) => {
            Some(Refinement { cause, ..refined })
        }
        Some(refined) => Some(refined),
        None => Some(Refinement {
            cause,
            wording,
            hint: None,
            next_steps: Vec::new(),
        }),
    }
}

/// The last line of the log that sounds like an error, quoted: why is not determined, and whoever reads the message wants to see it.
pub(crate) fn last_complaint(facts: &Facts) -> Option<String> {
    const LINES_MAX: usize = 30;
    const SOUNDS: &[&str] = &[
        "error",
        "exception",
        "fatal",
        "panic",
        "failed",
        "cannot",
        "can't",
        "could not",
        "unable to",
        "unknown",
        "invalid",
        "denied",
        "no main packages",
    ];
    // Where it happened, and what wrappers say of what they wrapped.
    const NOISE: &[&str] = &[
        "at ",
        "file \"",
        "npm err",
        "[mainstay]",
        "error: script \"",
        "elifecycle",
        "error: command ",
    ];
    let complaint = facts.log_tail.iter().rev().take(LINES_MAX).find(|line| {
        let lower = words::without_escapes(line).trim().to_ascii_lowercase();
        SOUNDS.iter().any(|sound| lower.contains(sound))
            && !NOISE.iter().any(|noise| lower.starts_with(noise))
    })?;
    Some(
        words::excerpt(&words::without_escapes(complaint), 160)
            .trim_end_matches('.')
            .to_owned(),
    )
}

/// The kernel refused to make another process.
fn process_limit(exit: &ExitRecord) -> Option<Refinement> {
    let hits = exit.pids_limit_hits.filter(|hits| *hits > 0)?;
    Some(Refinement {
        cause: Cause::ProcessLimit,
        wording: format!(
            "; it had reached its limit of processes, the kernel refused another one {hits} times"
        ),
        hint: None,
        next_steps: Vec::new(),
    })
}

/// Why a shell, loader or interpreter said 126 or 127.
pub(crate) fn not_executable(facts: &Facts, instance: &InstanceFacts) -> Option<Refinement> {
    let mut hit = pattern::find(&facts.log_tail, tables::EXEC)?;
    if hit.cause == Cause::CommandNotFound && left_out::is_of(instance, hit.subject.as_deref()) {
        hit.cause = Cause::DevDependencyMissing;
    }
    Some(from_hit(facts, instance, &hit))
}

/// Why a build step ended non-zero: the kernel's facts, then the tools' own identifiers, then words of the log.
pub(crate) fn step(facts: &Facts, build: &BuildFacts, step: &StepFacts) -> Option<Refinement> {
    if step.disk_full {
        return None;
    }
    let finding = build
        .findings
        .iter()
        .find_map(|finding| Some((finding.cause?, finding)));
    if let Some((cause, finding)) = finding {
        return Some(from_finding(facts, build, step, cause, finding));
    }
    if step.pids_limit_hits.is_some_and(|hits| hits > 0) {
        return None;
    }
    let hit = run_time_variable(facts, build).or_else(|| pattern::find(&facts.log_tail, tables::BUILD))?;
    let not_found = step.termination == Some(Termination::Exited { code: 127 });
    let cause = match build_cause(build, &hit) {
        // A program that is not there makes 127; any other tool misses a file of its own in the same words.
        Cause::CommandNotFound if !not_found && hit.mark.contains("no such file") => return None,
        cause => cause,
    };
    let hit = Hit { cause, ..hit };
    Some(from_build_hit(facts, build, step, &hit))
}

/// In whatever sentence a tool complains about a variable.
const ABSENCE: &[&str] = &[
    "undefined",
    "missing",
    "not set",
    "unset",
    "required",
    "not found",
    "not defined",
    "not provided",
    "not exported",
    "must be",
    "empty",
    "null",
    "none",
    "invalid",
    "unknown",
    "expected",
    "keyerror",
    "set the",
];

/// The log's last complaint about a variable that the spec sets for the run alone: whatever the tool, the build lacks it.
fn run_time_variable(facts: &Facts, build: &BuildFacts) -> Option<Hit> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = |line: &str| {
        line.split(|character| !is_name(character))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    facts.log_tail.iter().rev().find_map(|line| {
        let lower = line.to_ascii_lowercase();
        if !ABSENCE.iter().any(|word| lower.contains(word)) {
            return None;
        }
        let words = words(line);
        let missing = build.run_time_variables.iter();
        let variable = missing
            .filter(|variable| variable.database.is_some() || !build.variables.contains(&variable.name))
            .find(|variable| {
                words.contains(&variable.name)
                    || is_reference_to(line, variable)
                    || is_of_reader(&lower, variable)
            })?;
        Some(Hit {
            cause: Cause::MissingBuildEnv,
            line: line.trim().to_owned(),
            mark: "",
            subject: Some(variable.name.clone()),
        })
    })
}

/// "${db.DATABASE_URL}": as a build sees what only the run resolves.
fn is_reference_to(line: &str, variable: &RunTimeVariable) -> bool {
    let database = variable.database.as_ref();
    database.is_some_and(|database| line.contains(&format!("${{{database}.")))
}

/// What reads a variable is often called like it: `dj_database_url`, a field `database_url`. That counts for what no build has.
fn is_of_reader(lower: &str, variable: &RunTimeVariable) -> bool {
    variable.database.is_some()
        && variable.name.contains('_')
        && lower.contains(&variable.name.to_ascii_lowercase())
}

/// A cause that the way the process ended rules out is no cause.
fn agrees(cause: Cause, exit: &ExitRecord) -> bool {
    match exit.termination {
        // A crash or kill is not explained by an error that the app could print and then go on.
        Some(Termination::Signaled {
            signal: 4 | 7 | 8 | 9 | 11,
            ..
        }) => false,
        Some(Termination::Signaled { signal: 6, .. }) => cause == Cause::OwnHeapLimit,
        _ => true,
    }
}

/// Holds the hit against the facts.
fn settle(facts: &Facts, instance: &InstanceFacts, mut hit: Hit) -> Hit {
    if hit.cause == Cause::MissingEnv {
        // Settings classes name their fields in lower case and read the variable of the same name in upper case.
        hit.subject = hit.subject.map(|name| name.to_ascii_uppercase());
    }
    let cause = match hit.cause {
        Cause::MissingEnv => missing_env(facts, instance, hit.subject.as_deref()),
        Cause::ModuleNotFound | Cause::FileMissing if starts_entry(instance, hit.subject.as_deref()) => {
            Cause::EntryFileMissing
        }
        Cause::ModuleNotFound if is_path_of_nobody(&hit) => Cause::EntryFileMissing,
        Cause::ModuleNotFound if left_out::is_of(instance, hit.subject.as_deref()) => {
            Cause::DevDependencyMissing
        }
        Cause::ConnectionRefused
        | Cause::ConnectionTimedOut
        | Cause::HostUnreachable
        | Cause::HostNotFound => connections::of_log(instance, hit.cause, hit.subject.as_deref(), &hit.line),
        Cause::TlsUntrusted if connections::speaks_of_database(instance, &hit.line) => {
            Cause::DatabaseTlsUntrusted
        }
        cause => cause,
    };
    if cause == Cause::DatabaseNotConfigured
        && let Some(name) = configuration::removed_database(facts)
    {
        return Hit {
            cause: Cause::ConfigurationRemoved,
            subject: Some(name.to_owned()),
            ..hit
        };
    }
    Hit { cause, ..hit }
}

fn missing_env(facts: &Facts, instance: &InstanceFacts, name: Option<&str>) -> Cause {
    let Some(name) = name else {
        return Cause::EnvRefused;
    };
    // An emptied one is still there by name.
    if configuration::is_removed(facts, name) {
        return Cause::ConfigurationRemoved;
    }
    let is_set = |known: &String| known.eq_ignore_ascii_case(name);
    if instance.variables.iter().any(is_set) {
        Cause::EnvRefused
    } else {
        Cause::MissingEnv
    }
}

/// Whether the missing path is what the command starts: `node dist/index.js` and `/workspace/dist/index.js`.
fn starts_entry(instance: &InstanceFacts, subject: Option<&str>) -> bool {
    let Some(path) = subject.filter(|path| path.starts_with('/') || path.contains('.')) else {
        return false;
    };
    instance
        .command
        .argv
        .iter()
        .skip(1)
        .flat_map(|word| word.split_whitespace())
        .any(|word| {
            let word = word.trim_start_matches("./");
            word.len() > 1 && !word.starts_with('-') && (path == word || path.ends_with(&format!("/{word}")))
        })
}

/// A module that is an absolute path, and no other asked for it: what a package manager's script was to start.
fn is_path_of_nobody(hit: &Hit) -> bool {
    let absolute = hit.subject.as_ref().is_some_and(|path| path.starts_with('/'));
    absolute && !hit.line.contains("imported from")
}

/// A variable that the build misses counts only when it is not there; a missing command may be a dev dependency.
fn build_cause(build: &BuildFacts, hit: &Hit) -> Cause {
    let present = |name: &String| build.variables.contains(name);
    match (hit.cause, &hit.subject) {
        (Cause::MissingEnv, Some(name)) if present(name) => Cause::EnvRefused,
        (Cause::MissingEnv, _) => Cause::MissingBuildEnv,
        (cause, _) => cause,
    }
}

fn from_hit(facts: &Facts, instance: &InstanceFacts, hit: &Hit) -> Refinement {
    Refinement {
        cause: hit.cause,
        wording: wording::run(instance, hit),
        hint: Some(hint(hit)),
        next_steps: wording::run_steps(facts, instance, hit),
    }
}

fn from_build_hit(facts: &Facts, build: &BuildFacts, step: &StepFacts, hit: &Hit) -> Refinement {
    let said = Said {
        cause: hit.cause,
        tool: "",
        line: &hit.line,
        subject: hit.subject.as_deref(),
        clue: None,
    };
    Refinement {
        cause: hit.cause,
        wording: build_words::clause(build, step, said),
        hint: Some(hint(hit)),
        next_steps: build_words::next_steps(facts, build, step, said),
    }
}

fn from_finding(
    facts: &Facts,
    build: &BuildFacts,
    step: &StepFacts,
    cause: Cause,
    finding: &ToolFinding,
) -> Refinement {
    let hit = Hit {
        cause,
        line: finding.line.clone(),
        mark: "",
        subject: finding.subject.clone(),
    };
    let cause = build_cause(build, &hit);
    let said = Said {
        cause,
        tool: &finding.tool,
        line: &finding.line,
        subject: finding.subject.as_deref(),
        clue: finding.clue.as_ref(),
    };
    let identifier = if finding.identifier.is_empty() || finding.line.contains(&finding.identifier) {
        String::new()
    } else {
        format!(" ({} {})", finding.tool, finding.identifier)
    };
    Refinement {
        cause,
        wording: format!("{}{identifier}", build_words::clause(build, step, said)),
        hint: None,
        next_steps: build_words::next_steps(facts, build, step, said),
    }
}

fn hint(hit: &Hit) -> LogHint {
    LogHint {
        cause: hit.cause,
        line: words::excerpt(&hit.line, 300),
        subject: hit.subject.clone(),
    }
}

//! Who ended a process, told from the raw wait status, the stop that was asked for, and the kernel's counter.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{known, signal_name};
use crate::facts::{ExitRecord, MemoryKill, StopReason, Termination};

/// A memory kill and an end belong together when they are this close (`error reference`, borderline cases).
pub(crate) const MEMORY_KILL_TO_END_MAX: SignedDuration = SignedDuration::from_secs(10);

/// Who or what ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The process itself, with an exit status of its choice.
    Itself,
    /// A signal whose sender was not seen.
    Signal,
    /// The kernel, for memory.
    MemoryKill,
    /// Mainstay, after failed probes.
    FailedProbes,
    /// Mainstay, because a time limit passed.
    TimeLimit,
    /// Mainstay asked and the process went within the grace period.
    AskedToStop,
    /// Mainstay asked, the grace period passed, Mainstay killed.
    GracePeriodPassed,
    /// The machine went down with it.
    MachineRestart,
    /// The command could never be executed.
    NeverStarted,
    /// Not known: the status was lost.
    Unknown,
}

/// How one instance ended, in words, with the number that users are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub shown_code: i32,
    pub ended_by: EndedBy,
    /// Continues "the process …": "exited with code 3", "was killed by signal 9 (SIGKILL)".
    pub story: String,
}

/// Tells how an instance ended.
pub fn ending(record: &ExitRecord) -> Ending {
    let ended_by = ended_by(record);
    let shown_code = shown_code(record, ended_by);
    Ending {
        shown_code,
        ended_by,
        story: story(record, ended_by, shown_code),
    }
}

/// The memory kill that the end belongs to: of the main process, or of another one at most 10 s before the end.
pub fn decisive_memory_kill(record: &ExitRecord) -> Option<&MemoryKill> {
    // The counter may be read shortly after the end, so a kill "after" it counts as well.
    record.memory.kills.iter().find(|kill| {
        kill.main_process == Some(true)
            || record.ended_at.duration_since(kill.at).abs() <= MEMORY_KILL_TO_END_MAX
    })
}

/// How many ends in a row, the last included, were the same: a deployment that dies the same way three times need not be waited for.
pub fn same_ends(exits: &[ExitRecord]) -> u32 {
    let Some(last) = exits.last() else { return 0 };
    let same = |exit: &&ExitRecord| {
        exit.termination == last.termination
            && exit.exec_fault.is_some() == last.exec_fault.is_some()
            && ended_by(exit) == ended_by(last)
    };
    u32::try_from(exits.iter().rev().take_while(same).count()).unwrap_or(u32::MAX)
}

fn ended_by(record: &ExitRecord) -> EndedBy {
    if record.exec_fault.is_some() {
        return EndedBy::NeverStarted;
    }
    if record
        .memory
        .kills
        .iter()
        .any(|kill| kill.main_process == Some(true))
    {
        return EndedBy::MemoryKill;
    }
    if let Some(stop) = record
        .stop
        .as_ref()
        .filter(|stop| stop.asked_at <= record.ended_at)
    {
        return match stop.reason {
            StopReason::ProbesFailed => EndedBy::FailedProbes,
            StopReason::TimeLimit => EndedBy::TimeLimit,
            StopReason::MachineRestarted => EndedBy::MachineRestart,
            _ if stop.killed_at.is_some() => EndedBy::GracePeriodPassed,
            _ => EndedBy::AskedToStop,
        };
    }
    match record.termination {
        None => EndedBy::Unknown,
        Some(Termination::Signaled { signal: 9, .. }) if decisive_memory_kill(record).is_some() => {
            EndedBy::MemoryKill
        }
        Some(Termination::Signaled { .. }) => EndedBy::Signal,
        Some(Termination::Exited { .. }) => EndedBy::Itself,
    }
}

fn shown_code(record: &ExitRecord, ended_by: EndedBy) -> i32 {
    let killed = record.stop.as_ref().is_some_and(|stop| stop.killed_at.is_some());
    match ended_by {
        EndedBy::GracePeriodPassed => 145,
        EndedBy::TimeLimit if killed => 145,
        EndedBy::FailedProbes if killed => 137,
        _ => record.termination.map_or(255, Termination::shell_code),
    }
}

fn story(record: &ExitRecord, ended_by: EndedBy, shown_code: i32) -> String {
    match ended_by {
        EndedBy::NeverStarted => "was never started".to_owned(),
        EndedBy::Unknown => "ended, and its exit status was lost".to_owned(),
        EndedBy::MemoryKill => "was killed by the kernel for memory (exit code 137)".to_owned(),
        EndedBy::FailedProbes => {
            format!("was ended by Mainstay after failed probes (exit code {shown_code})")
        }
        EndedBy::TimeLimit => {
            format!("was ended by Mainstay when its time limit passed (exit code {shown_code})")
        }
        EndedBy::MachineRestart => "ended when the machine went down".to_owned(),
        EndedBy::AskedToStop => format!("stopped when Mainstay asked it to (exit code {shown_code})"),
        EndedBy::GracePeriodPassed => grace_story(record),
        EndedBy::Signal | EndedBy::Itself => termination_story(record.termination),
    }
}

fn grace_story(record: &ExitRecord) -> String {
    let seconds = record.stop.as_ref().map_or(0, |stop| stop.grace_period_seconds);
    format!("was still running {seconds} s after it was asked to stop and had to be killed (exit code 145)")
}

/// "exited with code 3", "was killed by signal 9 (SIGKILL), exit code 137".
pub fn termination_story(termination: Option<Termination>) -> String {
    match termination {
        None => "ended, and its exit status was lost".to_owned(),
        Some(Termination::Exited { code }) => match known(code) {
            // The names of these rows are signals', which an exit of its own choice is not.
            Some(_) if (134..=143).contains(&code) => format!("exited by itself with code {code}"),
            // Argument parsers exit with 2 as well: of shells only the table speaks.
            Some(_) if code == 2 => format!("exited with code {code}"),
            Some((name, _)) => format!("exited with code {code} ({name})"),
            None => format!("exited with code {code}"),
        },
        Some(Termination::Signaled { signal, .. }) => {
            format!(
                "was killed by signal {signal} ({}, exit code {})",
                signal_name(signal),
                128 + signal
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::facts::{MemoryRecord, StopRecord};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn record(termination: Termination) -> ExitRecord {
        ExitRecord {
            termination: Some(termination),
            started_at: Some(at(0)),
            ended_at: at(60),
            stop: None,
            memory: MemoryRecord::default(),
            cpu_usage_micros: None,
            cpu_throttled_micros: None,
            pids_limit_hits: None,
            exec_fault: None,
            course: crate::facts::Course::default(),
        }
    }

    fn killed() -> Termination {
        Termination::Signaled {
            signal: 9,
            core_dumped: false,
        }
    }

    fn stopped(reason: StopReason, killed_at: Option<Timestamp>) -> StopRecord {
        StopRecord {
            reason,
            asked_at: at(50),
            grace_period_seconds: 10,
            killed_at,
        }
    }

    #[test]
    fn an_exit_of_137_is_not_a_kill() {
        let ending = ending(&record(Termination::Exited { code: 137 }));
        assert_eq!(ending.ended_by, EndedBy::Itself);
        assert_eq!(ending.story, "exited by itself with code 137");
    }

    #[test]
    fn an_exit_of_2_is_not_blamed_on_a_shell() {
        let ending = ending(&record(Termination::Exited { code: 2 }));
        assert_eq!(ending.story, "exited with code 2");
    }

    #[test]
    fn a_sigkill_of_unknown_sender_stays_unknown() {
        let ending = ending(&record(killed()));
        assert_eq!(ending.ended_by, EndedBy::Signal);
        assert_eq!(ending.shown_code, 137);
    }

    #[test]
    fn a_counted_memory_kill_explains_a_sigkill() {
        let mut record = record(killed());
        record.memory.kills.push(MemoryKill {
            at: at(60),
            main_process: Some(true),
            process: None,
        });
        assert_eq!(ending(&record).ended_by, EndedBy::MemoryKill);
    }

    #[test]
    fn a_child_killed_long_before_the_end_does_not_belong_to_it() {
        let mut record = record(killed());
        record.memory.kills.push(MemoryKill {
            at: at(49),
            main_process: Some(false),
            process: None,
        });
        assert_eq!(ending(&record).ended_by, EndedBy::Signal);
        assert_eq!(decisive_memory_kill(&record), None);
        record.memory.kills[0].at = at(50);
        assert!(decisive_memory_kill(&record).is_some());
    }

    #[test]
    fn a_kill_after_the_grace_period_is_145() {
        let mut record = record(killed());
        record.stop = Some(stopped(StopReason::Replaced, Some(at(60))));
        assert_eq!(ending(&record).shown_code, 145);
        assert_eq!(ending(&record).ended_by, EndedBy::GracePeriodPassed);
    }

    #[test]
    fn a_kill_after_failed_probes_is_137_by_the_platform() {
        let mut record = record(killed());
        record.stop = Some(stopped(StopReason::ProbesFailed, Some(at(60))));
        assert_eq!(
            (ending(&record).shown_code, ending(&record).ended_by),
            (137, EndedBy::FailedProbes)
        );
    }
}

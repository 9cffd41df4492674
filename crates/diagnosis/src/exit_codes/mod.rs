//! Exit codes: what a number means, and who ended a process. The raw wait status decides: `exit 137` by the app itself and a SIGKILL are
//! different records and are told differently.

mod ending;

pub(crate) use ending::MEMORY_KILL_TO_END_MAX;
pub use ending::{EndedBy, Ending, decisive_memory_kill, ending, same_ends, termination_story};

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitCodePage {
    pub number: i32,
    pub name: String,
    pub meaning: String,
}

/// What a number stands for; every number from 0 to 255 has an answer.
pub fn exit_code(number: i32) -> ExitCodePage {
    let (name, meaning) = match known(number) {
        Some((name, meaning)) => (name.to_owned(), meaning.to_owned()),
        None => unlisted(number),
    };
    ExitCodePage {
        number,
        name,
        meaning,
    }
}

/// The numbers that have a row of their own, in the order of the table.
pub const LISTED: &[i32] = &[0, 1, 2, 126, 127, 128, 134, 137, 139, 143, 145, 190, 217, 255];

fn known(number: i32) -> Option<(&'static str, &'static str)> {
    Some(match number {
        0 => (
            "exited normally",
            "The process ended by itself and reported success. Right for a job; a service or worker should keep running.",
        ),
        1 => (
            "general error",
            "The app's own failure; the last lines of its log are the evidence.",
        ),
        2 => (
            "shell misuse",
            "A shell builtin or a command line was used wrongly; many argument parsers exit with 2 as well.",
        ),
        126 => (
            "not executable",
            "The command was found, but it cannot be executed.",
        ),
        127 => (
            "not found",
            "The command is missing from the image or from the PATH, or its interpreter or loader is.",
        ),
        128 => (
            "invalid exit",
            "The process asked for an exit status outside the valid range. Memory kills are never shown as 128 here: the kernel's \
             counter types them.",
        ),
        134 => (
            "SIGABRT",
            "The process aborted itself: a failed assertion, a fatal error of its runtime, or the runtime's own heap limit.",
        ),
        137 => (
            "SIGKILL",
            "The process was killed: for memory (the kernel counts that), by Mainstay after failed probes, or by somebody else. An app \
             can also exit with 137 by itself, or its shell passes on a child's end.",
        ),
        139 => (
            "SIGSEGV",
            "The process accessed memory that is not its own; often a native module, or one for another architecture.",
        ),
        143 => (
            "SIGTERM",
            "The process was asked to stop: by Mainstay during a deploy, scale or restart (normal), or by somebody else.",
        ),
        145 => (
            "termination failed",
            "Mainstay asked the process to stop; it was still there after the grace period and had to be killed.",
        ),
        190 => (
            "no default process",
            "The image's launcher found no process to start, and no run command is set.",
        ),
        217 => (
            "Python fatal",
            "The Python interpreter ended with its status for a fatal error.",
        ),
        255 => (
            "out of range",
            "An unknown or out-of-range status; often an unhandled exception or `exit(-1)`.",
        ),
        _ => return None,
    })
}

fn unlisted(number: i32) -> (String, String) {
    match number {
        129..=192 => {
            let signal = number - 128;
            let name = signal_name(signal);
            let meaning = format!("The process was ended by signal {signal} ({name}).");
            (name, meaning)
        }
        0..=255 => (
            format!("exit code {number}"),
            "An exit code of the app's own; its documentation or its log says what it stands for.".to_owned(),
        ),
        _ => (
            "not an exit code".to_owned(),
            "Exit codes are numbers from 0 to 255.".to_owned(),
        ),
    }
}

/// The name of a Linux signal: "SIGKILL", "SIGRTMIN+3", "signal 70".
pub fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    // The C library keeps 32 and 33 to itself, so SIGRTMIN is 34 for programs.
    match signal {
        1..=31 => NAMES[usize::try_from(signal - 1).unwrap_or(0)].to_owned(),
        34 => "SIGRTMIN".to_owned(),
        35..=64 => format!("SIGRTMIN+{}", signal - 34),
        _ => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_and_a_meaning() {
        for number in -1..=300 {
            let page = exit_code(number);
            assert!(!page.name.is_empty() && !page.meaning.is_empty(), "{number}");
        }
        for number in LISTED {
            assert!(known(*number).is_some(), "{number}");
        }
    }

    #[test]
    fn signals_are_named() {
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(37), "SIGRTMIN+3");
        assert_eq!(signal_name(70), "signal 70");
    }
}

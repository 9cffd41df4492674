//! How buildah ended, from its exit code and the last lines of its stderr.
//!
//! buildah passes a step's exit code on as its own, and uses 125 for its own errors too, so the code alone says nothing. Its last line
//! does: it is printed after everything that steps print.

use mainstay_diagnosis::facts::Termination;

/// The last lines of stderr that are looked at.
pub(crate) const TAIL_LINES: usize = 8;

/// What the end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    /// The process of a `RUN` ended.
    Step(Termination),
    /// The runtime could not start the process of a `RUN`; there was no process.
    StepNotStarted {
        message: String,
    },
    /// An error of buildah itself, or of an instruction that is no process.
    Engine {
        message: String,
    },
    /// buildah itself was killed by a signal.
    Killed {
        signal: i32,
    },
}

const AFTER_STEP: &str = ": while running runtime: exit status ";
const NOT_STARTED: &str = "error running container: from ";
const SIGNALED: &str = "container exited on ";

/// `code` is `None` when buildah was killed by `signal`.
pub(crate) fn classify(code: Option<i32>, signal: Option<i32>, tail: &[String]) -> Ending {
    match (code, signal) {
        (Some(0), _) => Ending::Success,
        (None, signal) => Ending::Killed {
            signal: signal.unwrap_or(0),
        },
        (Some(_), _) => failure(tail),
    }
}

fn failure(tail: &[String]) -> Ending {
    let (last, before) = match tail.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", tail),
    };
    let Some(status) = last
        .rsplit_once(AFTER_STEP)
        .and_then(|(_, status)| status.trim().parse().ok())
    else {
        return Ending::Engine {
            message: engine_message(last),
        };
    };
    if let Some(message) = start_failure(before) {
        return Ending::StepNotStarted { message };
    }
    match before.last().and_then(|line| signal_number(line)) {
        Some(signal) if status == 1 => Ending::Step(Termination::Signaled {
            signal,
            core_dumped: false,
        }),
        _ => Ending::Step(Termination::Exited { code: status }),
    }
}

/// "error running container: from /usr/sbin/runc creating container for [/nope]: time=… msg=\"…\"" and ": exit status 1" behind it.
fn start_failure(before: &[String]) -> Option<String> {
    let (last, rest) = before.split_last()?;
    let line = rest.last()?.strip_prefix(NOT_STARTED)?;
    if !last.starts_with(": exit status ") || !line.contains(" creating container for ") {
        return None;
    }
    let message = line.split_once("msg=\"").map_or(line, |(_, message)| message);
    let message = message.trim_end_matches('"').replace("\\\"", "\"");
    Some(
        message
            .strip_prefix("runc create failed: ")
            .unwrap_or(&message)
            .to_owned(),
    )
}

/// "Error: building at STEP \"COPY a b\": checking on sources …" → what stands behind the step.
fn engine_message(line: &str) -> String {
    // A step's output without a final newline may stand before it.
    let line = line.rsplit_once("Error: ").map_or(line, |(_, message)| message);
    let message = match line.strip_prefix("building at STEP \"") {
        Some(rest) => after_quoted(rest).unwrap_or(line),
        None => line,
    };
    if message.is_empty() {
        return "the image builder ended without a message".to_owned();
    }
    message.to_owned()
}

/// The text behind `…": `, with quotes inside escaped by a backslash.
fn after_quoted(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        match character {
            '\\' => escaped = !escaped,
            '"' if !escaped => return text[position + 1..].strip_prefix(": "),
            _ => escaped = false,
        }
    }
    None
}

/// buildah prints Go's names of signals.
fn signal_number(line: &str) -> Option<i32> {
    let (_, name) = line.rsplit_once(SIGNALED)?;
    Some(match name.trim() {
        "hangup" => 1,
        "interrupt" => 2,
        "quit" => 3,
        "illegal instruction" => 4,
        "trace/breakpoint trap" => 5,
        "aborted" => 6,
        "bus error" => 7,
        "floating point exception" => 8,
        "killed" => 9,
        "user defined signal 1" => 10,
        "segmentation fault" => 11,
        "user defined signal 2" => 12,
        "broken pipe" => 13,
        "alarm clock" => 14,
        "terminated" => 15,
        other => other.strip_prefix("signal ")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32, tail: &[&str]) -> Ending {
        let tail: Vec<String> = tail.iter().map(|line| (*line).to_owned()).collect();
        classify(Some(code), None, &tail)
    }

    #[test]
    fn a_steps_125_is_not_buildahs() {
        assert_eq!(
            end(
                125,
                &["Error: building at STEP \"RUN exit 125\": while running runtime: exit status 125"]
            ),
            Ending::Step(Termination::Exited { code: 125 })
        );
        assert_eq!(
            end(
                125,
                &[
                    "Error: building at STEP \"COPY nope /x\": checking on sources under \"/c\": copier: stat: \"/nope\": no such file or directory"
                ]
            ),
            Ending::Engine {
                message:
                    "checking on sources under \"/c\": copier: stat: \"/nope\": no such file or directory"
                        .to_owned()
            }
        );
    }

    #[test]
    fn a_signal_of_the_steps_process_is_kept() {
        assert_eq!(
            end(
                1,
                &[
                    "container exited on killed",
                    "Error: building at STEP \"RUN x\": while running runtime: exit status 1"
                ]
            ),
            Ending::Step(Termination::Signaled {
                signal: 9,
                core_dumped: false
            })
        );
    }

    #[test]
    fn output_without_a_newline_before_the_error_changes_nothing() {
        assert_eq!(
            end(
                7,
                &[
                    "half a lineError: building at STEP \"RUN \\\"x\\\"\": while running runtime: exit status 7"
                ]
            ),
            Ending::Step(Termination::Exited { code: 7 })
        );
    }

    #[test]
    fn a_program_that_does_not_exist_is_no_exit() {
        let tail = [
            "error running container: from /usr/sbin/runc creating container for [/nope x]: time=\"2026\" level=error msg=\"runc create failed: unable to start container process: exec: \\\"/nope\\\": stat /nope: no such file or directory\"",
            ": exit status 1",
            "Error: building at STEP \"RUN /nope x\": while running runtime: exit status 1",
        ];
        assert_eq!(
            end(1, &tail),
            Ending::StepNotStarted {
                message: "unable to start container process: exec: \"/nope\": stat /nope: no such file or directory"
                    .to_owned()
            }
        );
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(
            end(1, &[]),
            Ending::Engine {
                message: "the image builder ended without a message".to_owned()
            }
        );
        assert_eq!(classify(None, Some(9), &[]), Ending::Killed { signal: 9 });
    }
}

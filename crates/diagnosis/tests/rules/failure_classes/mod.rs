//! The classes of failures that people meet, with the lines their tools print, in more than one language where the class depends on it.

mod builds;
mod databases;
mod starts;

use mainstay_diagnosis::{Cause, Code, facts::*};

use crate::world::*;

fn exit_with(code: i32, log: &[&str]) -> Facts {
    let mut facts = instance_facts(InstanceFacts {
        exits: vec![exited(code)],
        sockets: None,
        probe: None,
        ..instance()
    });
    facts.log_tail = log.iter().map(|line| (*line).to_owned()).collect();
    facts
}

fn step_with(code: i32, log: &[&str]) -> Facts {
    let mut facts = build_facts(failed_build(code));
    facts.log_tail = log.iter().map(|line| (*line).to_owned()).collect();
    facts
}

#[track_caller]
fn ends(facts: &Facts, code: Code, cause: Cause, said: &str) {
    let reason = reason(facts);
    assert_eq!((reason.code, reason.cause), (code, cause), "{}", reason.message);
    assert!(reason.message.contains(said), "{said}: {}", reason.message);
}

#[track_caller]
fn exits(code: i32, log: &[&str], cause: Cause, said: &str) {
    ends(&exit_with(code, log), Code::ContainerExitNonZero, cause, said);
}

#[track_caller]
fn fails(code: i32, log: &[&str], cause: Cause, said: &str) {
    ends(&step_with(code, log), Code::BuildJobExitNonZero, cause, said);
}

#[test]
fn harmless_words_are_no_cause() {
    exits(
        3,
        &[
            "INFO starting",
            "INFO health check ok",
            "killed 3 tasks, 0 errors",
        ],
        Cause::ExitedWithError,
        "code 3",
    );
    exits(
        1,
        &["GET /missing 404", "POST /required 200"],
        Cause::ExitedWithError,
        "code 1",
    );
    exits(
        1,
        &["INFO: missing translations for DE, using EN"],
        Cause::ExitedWithError,
        "code 1",
    );
}

//! The classes of failures that people meet, with the lines their tools print, in more than one language where the class depends on it.

mod builds;
mod databases;
mod left_out;
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
fn mixed_module_systems_are_no_missing_variable() {
    for line in [
        "ReferenceError: require is not defined in ES module scope, you can use import instead",
        "SyntaxError: Cannot use import statement outside a module",
        "Error [ERR_REQUIRE_ESM]: require() of ES Module /workspace/node_modules/chalk/index.js not supported.",
    ] {
        exits(1, &[line], Cause::ModuleSystemMismatch, "its log says");
        fails(1, &[line], Cause::ModuleSystemMismatch, "exited with code 1");
    }
}

#[test]
fn code_that_a_generator_makes_is_no_missing_module() {
    for line in [
        "Error: @prisma/client did not initialize yet. Please run \"prisma generate\" and try to import it again.",
        "Error: Cannot find module '.prisma/client/default'",
    ] {
        let said = "the Prisma client was not generated in the build";
        exits(1, &[line], Cause::GeneratedCodeMissing, said);
        fails(1, &[line], Cause::GeneratedCodeMissing, said);
        let next = reason(&exit_with(1, &[line])).next_steps;
        assert!(
            next[0]
                .command
                .as_deref()
                .is_some_and(|command| command.contains("prisma generate"))
        );
    }
}

#[test]
fn what_compiles_or_loads_at_the_start_says_what_it_missed() {
    exits(
        1,
        &[
            "\u{1b}[96msrc/index.ts\u{1b}[0m:\u{1b}[93m2\u{1b}[0m - \u{1b}[91merror\u{1b}[0m\u{1b}[90m TS2322: \u{1b}[0mType 'string' is not assignable",
        ],
        Cause::CompileError,
        "TS2322",
    );
    exits(
        3,
        &["ERROR:    Error loading ASGI app. Attribute \"app\" not found in module \"main\"."],
        Cause::ModuleNotFound,
        "`app`",
    );
}

/// Validators print their findings as data: over several lines, or in one.
#[test]
fn a_validators_path_names_the_variable() {
    let as_json = [
        "ZodError: [",
        "  {",
        "    \"code\": \"invalid_type\",",
        "    \"path\": [",
        "      \"STRIPE_KEY\"",
        "    ],",
        "    \"message\": \"Required\"",
    ];
    exits(1, &as_json, Cause::MissingEnv, "`STRIPE_KEY`");
    let inspected = [
        "Invalid environment variables: [",
        "  { path: [ 'STRIPE_KEY' ], message: 'Required' }",
    ];
    exits(1, &inspected, Cause::MissingEnv, "`STRIPE_KEY`");
    exits(
        1,
        &["\"path\": [", "  \"items\""],
        Cause::ExitedWithError,
        "code 1",
    );
}

/// A tool that misses a file of its own says so in a shell's words.
#[test]
fn a_file_that_a_tool_misses_is_no_missing_command() {
    let line = "cause: failed to read `/workspace/prod.txt`: No such file or directory";
    fails(2, &[line], Cause::StepFailed, "prod.txt");
}

#[test]
fn what_is_not_determined_is_quoted() {
    exits(
        2,
        &[
            "fatal error: all goroutines are asleep - deadlock!",
            "",
            "goroutine 1 [chan receive]:",
            "main.main()",
        ],
        Cause::ExitedWithError,
        "deadlock!",
    );
    let long = format!(
        "{} FATAL:  password authentication failed for user \"shop\"",
        "connection failed ".repeat(12)
    );
    exits(
        1,
        &[long.as_str()],
        Cause::DatabaseAuth,
        "password authentication failed for user",
    );
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

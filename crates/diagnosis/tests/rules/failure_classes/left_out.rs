//! Development dependencies that a run misses.

use mainstay_diagnosis::{Cause, Code, facts::*};

use super::*;

/// An instance of an image without them.
fn without_development(mut facts: Facts) -> Facts {
    let Subject::Instance(instance) = &mut facts.subject else {
        unreachable!()
    };
    let package = |name: &str| (name.to_owned(), "package.json".to_owned());
    instance.builder = Some(BuilderChoice {
        left_out: Some(LeftOut {
            packages: ["dotenv", "nodemon", "typescript"].map(package).into(),
            reason: "`npm prune --omit=dev --ignore-scripts` removed them in the build, because NODE_ENV is production among the \
                     build's variables"
                .into(),
        }),
        ..build().builder.expect("one")
    });
    facts
}

#[track_caller]
fn is_left_out(facts: &Facts, code: Code, said: &str, package: &str) {
    ends(facts, code, Cause::DevDependencyMissing, said);
    let reason = reason(facts);
    assert!(
        reason.message.contains("npm prune --omit=dev"),
        "{}",
        reason.message
    );
    let next: Vec<String> = reason.next_steps.iter().map(|step| step.text.clone()).collect();
    assert_eq!(
        next,
        [
            format!("Move `{package}` to the dependencies of package.json."),
            "Or set NODE_ENV for the run alone: then the build keeps them.".to_owned(),
        ]
    );
}

#[test]
fn a_module_says_that_it_is_for_development() {
    let lines = [
        "Error: Cannot find module 'dotenv/config'",
        "Require stack:",
        "- /workspace/server.js",
    ];
    is_left_out(
        &without_development(exit_with(1, &lines)),
        Code::ContainerExitNonZero,
        "`dotenv/config` is not in the image: package.json declares it for development",
        "dotenv",
    );
    let other = ["Error: Cannot find module 'express'"];
    ends(
        &without_development(exit_with(1, &other)),
        Code::ContainerExitNonZero,
        Cause::ModuleNotFound,
        "`express` cannot be loaded",
    );
    ends(
        &exit_with(1, &lines),
        Code::ContainerExitNonZero,
        Cause::ModuleNotFound,
        "cannot be loaded",
    );
}

#[test]
fn a_program_says_that_it_is_for_development() {
    is_left_out(
        &without_development(exit_with(127, &["sh: 1: nodemon: not found"])),
        Code::ContainerCommandNotExecutable,
        "`nodemon` is not in the image",
        "nodemon",
    );
    let mut refused = without_development(exit_with(127, &[]));
    let Subject::Instance(instance) = &mut refused.subject else {
        unreachable!()
    };
    instance.exits.clear();
    instance.refused = Some(ExecFault {
        argv: vec!["tsc".into(), "--watch".into()],
        ..exec_fault(ExecFaultKind::NotFound)
    });
    is_left_out(
        &refused,
        Code::ContainerCommandNotExecutable,
        "`tsc` is not in the image (exit code 127): package.json declares `typescript` for development",
        "typescript",
    );
}

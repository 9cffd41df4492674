//! What the source, the spec and the steps before say about something that a step missed: it has to be in the message.

use mainstay_diagnosis::{Cause, Code, facts::*};

use crate::world::*;

fn found(cause: Cause, tool: &str, subject: &str, clue: Option<Clue>) -> BuildFacts {
    let mut build = failed_build(1);
    build.findings.push(ToolFinding {
        tool: tool.into(),
        identifier: String::new(),
        cause: Some(cause),
        line: "the tool's line".into(),
        subject: Some(subject.into()),
        clue,
    });
    build
}

#[track_caller]
fn says(build: BuildFacts, cause: Cause, words: &[&str]) {
    let reason = reason(&build_facts(build));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::BuildJobExitNonZero, cause),
        "{}",
        reason.message
    );
    for word in words {
        assert!(reason.message.contains(word), "{word}: {}", reason.message);
    }
    assert!(
        !reason.next_steps.is_empty() || cause == Cause::FileMissing || cause == Cause::FileNameCase,
        "{reason:?}"
    );
}

#[test]
fn a_lock_file_that_is_not_committed_names_the_rule() {
    let rule = ".gitignore line 3: *.json".to_owned();
    let clue = Clue::IgnoredBy {
        path: "package-lock.json".into(),
        rule,
    };
    says(
        found(Cause::LockfileMissing, "npm", "package-lock.json", Some(clue)),
        Cause::LockfileMissing,
        &["`package-lock.json` is not in the source", ".gitignore line 3"],
    );
    let clue = Clue::OtherLockFiles {
        files: vec!["yarn.lock".into()],
    };
    says(
        found(Cause::LockfileMissing, "npm", "package-lock.json", Some(clue)),
        Cause::LockfileMissing,
        &["`yarn.lock` of another tool"],
    );
}

#[test]
fn a_left_out_dev_dependency_says_what_left_it_out() {
    let clue = Clue::LeftOut {
        manifest: "package.json".into(),
        reason: "`npm prune --omit=dev` removed them before this step".into(),
    };
    let build = found(Cause::DevDependencyMissing, "sh", "vite", Some(clue));
    let steps = reason(&build_facts(build.clone())).next_steps;
    assert!(steps[0].text.contains("Do not build twice"), "{steps:?}");
    says(
        build,
        Cause::DevDependencyMissing,
        &["`vite`", "package.json", "`npm prune --omit=dev` removed them"],
    );
}

#[test]
fn a_misspelt_file_names_the_actual_one() {
    let clue = Clue::SpeltAs {
        actual: "src/Countymap.js".into(),
    };
    says(
        found(Cause::FileNameCase, "webpack", "./CountyMap", Some(clue)),
        Cause::FileNameCase,
        &["`./CountyMap`", "`src/Countymap.js`", "letter case"],
    );
}

#[test]
fn a_file_of_the_source_that_no_instruction_copied_is_told_from_one_that_is_not_there() {
    let clue = Clue::NotCopied {
        path: "package.json".into(),
    };
    let mut build = found(Cause::FileMissing, "npm", "/app/package.json", Some(clue));
    build.steps[1].origin = StepOrigin::DockerfileRun;
    build.steps[1].line = Some(3);
    says(
        build,
        Cause::FileMissing,
        &["Dockerfile line 3", "no instruction before copied it there"],
    );
}

#[test]
fn a_version_that_does_not_fit_says_why_it_was_chosen() {
    let mut build = found(Cause::RuntimeVersionMismatch, "npm", "shop", None);
    build.version_reasons.push((
        "node".into(),
        "package.json names no engines.node, so the default was taken".into(),
    ));
    says(
        build,
        Cause::RuntimeVersionMismatch,
        &["node 22.11.0 was used because package.json names no engines.node"],
    );
    let mut build = found(Cause::RuntimeVersionMismatch, "pip", "x", None);
    build
        .version_reasons
        .push(("base image".into(), "python:3.9 (Dockerfile line 1)".into()));
    says(
        build,
        Cause::RuntimeVersionMismatch,
        &["base image python:3.9 (Dockerfile line 1)"],
    );
}

#[test]
fn a_package_that_cannot_be_compiled_names_what_is_missing() {
    let clue = Clue::Needs {
        what: "pg_config".into(),
    };
    let build = found(Cause::DependencyNotCompilable, "pip", "psycopg2", Some(clue));
    let steps = reason(&build_facts(build.clone())).next_steps;
    assert!(steps[0].text.contains("`psycopg2-binary`"), "{steps:?}");
    says(
        build,
        Cause::DependencyNotCompilable,
        &["`psycopg2`", "`pg_config`"],
    );
}

#[test]
fn a_missing_variable_says_what_the_spec_does_with_it() {
    let variable = |database: Option<&str>| RunTimeVariable {
        name: "API_KEY".into(),
        scope: "RUN_TIME".into(),
        database: database.map(str::to_owned),
    };
    let mut build = found(Cause::MissingBuildEnv, "python", "API_KEY", None);
    build.run_time_variables.push(variable(None));
    says(
        build.clone(),
        Cause::MissingBuildEnv,
        &["the spec scopes RUN_TIME"],
    );
    build.run_time_variables[0] = variable(Some("db"));
    says(
        build,
        Cause::MissingBuildEnv,
        &["database `db`", "do not exist during a build"],
    );
}

#[test]
fn any_sentence_about_a_run_time_variable_is_enough_and_a_mere_mention_is_not() {
    let mut build = failed_build(1);
    build.run_time_variables.push(RunTimeVariable {
        name: "STRIPE_KEY".into(),
        scope: "RUN_TIME".into(),
        database: None,
    });
    let with_log = |line: &str| {
        let mut facts = build_facts(build.clone());
        facts.log_tail = vec![line.to_owned()];
        reason(&facts).cause
    };
    assert_eq!(
        with_log("zod: STRIPE_KEY: Expected string, received undefined"),
        Cause::MissingBuildEnv
    );
    assert_eq!(with_log("reading STRIPE_KEY from the vault"), Cause::StepFailed);
}

#[test]
fn what_reads_a_database_variable_may_be_called_like_it() {
    let with = |database: Option<&str>| {
        let mut build = failed_build(1);
        build.run_time_variables.push(RunTimeVariable {
            name: "DATABASE_URL".into(),
            scope: "RUN_AND_BUILD_TIME".into(),
            database: database.map(str::to_owned),
        });
        let mut facts = build_facts(build);
        facts.log_tail = vec!["dj_database_url.UnknownSchemeError: Scheme '://' is unknown.".to_owned()];
        reason(&facts)
    };
    let bound = with(Some("db"));
    assert_eq!(bound.cause, Cause::MissingBuildEnv);
    assert!(bound.message.contains("`DATABASE_URL`"), "{}", bound.message);
    assert_eq!(with(None).cause, Cause::StepFailed);
}

#[test]
fn a_tools_own_heap_limit_is_told_from_the_builds() {
    says(
        found(Cause::OwnHeapLimit, "node", "", None),
        Cause::OwnHeapLimit,
        &["its own heap limit", "300 MiB of 2 GiB"],
    );
}

#[test]
fn instructions_say_where_the_file_is_instead() {
    let instruction = |text: &str, missing: &str, clue: Option<Clue>| {
        reason(&build_facts(refused_build(BuildFault::DockerfileInstruction {
            path: "Dockerfile".into(),
            line: Some(5),
            instruction: text.into(),
            message: "no such file".into(),
            missing: Some(missing.into()),
            ignored_by: None,
            clue,
        })))
    };
    let elsewhere = Some(Clue::LiesAt {
        path: "backend/main.py".into(),
    });
    for (reason, cause, words) in [
        (
            instruction("COPY main.py /app/", "main.py", elsewhere),
            Cause::FileNotInBuildContext,
            "`backend/main.py` is",
        ),
        (
            instruction("COPY --from=build /x /y", "x", None),
            Cause::FileMissing,
            "does not exist in `build`",
        ),
        (
            instruction("COPY --from=biuld /x /y", "biuld", None),
            Cause::DockerfileInstructionFailed,
            "failed",
        ),
        (
            instruction("RUN [\"/nope\"]", "/nope", None),
            Cause::CommandNotFound,
            "does not exist in the image",
        ),
    ] {
        assert_eq!(
            (reason.code, reason.cause),
            (Code::BuildJobFailed, cause),
            "{}",
            reason.message
        );
        assert!(
            reason.message.contains(words) && reason.message.contains("line 5"),
            "{}",
            reason.message
        );
    }
}

#[test]
fn a_spec_file_that_was_never_applied_is_a_warning() {
    let mut build = failed_build(1);
    let doubt =
        "`.do/app.yaml` in the source sets dockerfile_path to `Dockerfile`; the spec in force does not"
            .to_owned();
    build
        .builder
        .as_mut()
        .expect("a builder")
        .doubts
        .push(doubt.clone());
    assert_eq!(reason(&build_facts(build)).warnings, [doubt]);
}

#[test]
fn a_variable_that_leads_to_a_registry_is_asked_for_as_a_secret() {
    let mut build = failed_build(1);
    build.findings = vec![ToolFinding {
        tool: "npm".into(),
        identifier: "E401".into(),
        cause: Some(Cause::MissingBuildEnv),
        line: "401 Unauthorized - GET https://npm.acme.example/@acme%2fui".into(),
        subject: Some("NPM_TOKEN".into()),
        clue: Some(Clue::ReadBy {
            file: ".npmrc".into(),
            line: 3,
        }),
    }];
    let reason = reason(&build_facts(build));
    assert_eq!(reason.cause, Cause::MissingBuildEnv);
    let said = ".npmrc line 3 reads the variable `NPM_TOKEN`, which is not set during the build; npm says: 401 Unauthorized";
    assert!(reason.message.contains(said), "{}", reason.message);
    let spec = reason.next_steps[0].spec.as_deref().unwrap_or_default();
    assert!(
        spec.contains("scope: BUILD_TIME") && spec.contains("type: SECRET"),
        "{spec}"
    );
}

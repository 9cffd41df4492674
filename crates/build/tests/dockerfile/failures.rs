//! Builds that cannot succeed, and how each is told from the others.

use mainstay_build::dockerfile::DockerfileEnd;
use mainstay_diagnosis::{
    Cause,
    facts::{BuildFault, Clue, Termination},
};

use crate::world::{World, can_run};

#[tokio::test]
async fn a_steps_exit_code_is_its_own() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    for code in [42, 125, 1] {
        let report = world
            .build(&format!("FROM BASE\nRUN true\nRUN exit {code}\n"))
            .await;
        assert_eq!(
            report.result,
            Err(DockerfileEnd::StepFailed),
            "{}",
            world.log.text()
        );
        let step = report.steps.last().unwrap();
        assert_eq!(
            (step.line, step.termination),
            (Some(3), Some(Termination::Exited { code }))
        );
        assert!(step.memory.kills.is_empty() && report.memory.kills.is_empty());
    }
}

#[tokio::test]
async fn a_signal_is_no_exit_code() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world
        .build("FROM BASE\nRUN ulimit -t 1; exec sh -c 'while :; do :; done'\n")
        .await;
    assert_eq!(
        report.result,
        Err(DockerfileEnd::StepFailed),
        "{}",
        world.log.text()
    );
    let termination = report.steps.last().unwrap().termination.unwrap();
    assert!(
        matches!(termination, Termination::Signaled { signal: 9 | 24, .. }),
        "{termination:?}"
    );
    assert!(report.memory.kills.is_empty());
}

#[tokio::test]
async fn instructions_that_are_no_process_are_faults_with_their_line() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write("deploy/config.toml", "");
    world.write(".dockerignore", "# keep out\ndeploy/\n");
    for (dockerfile, line, missing, ignored_by) in [
        ("FROM BASE\n\nCOPY nope /x\n", 3, Some("nope"), None),
        (
            "FROM BASE\nCOPY deploy/config.toml /c\n",
            2,
            Some("deploy/config.toml"),
            Some(".dockerignore line 2: deploy/"),
        ),
        (
            "FROM BASE AS build\nFROM BASE\nCOPY --from=biuld /a /b\n",
            3,
            Some("biuld"),
            None,
        ),
        ("FROM BASE\nUSER nobody-here\nRUN id\n", 3, None, None),
        ("FROM BASE\nRUN [\"/nope\", \"x\"]\n", 2, Some("/nope"), None),
        (
            "FROM BASE\nCOPY --from=BASE /not/there /b\n",
            2,
            Some("not/there"),
            None,
        ),
    ] {
        let report = world.build(dockerfile).await;
        let Err(DockerfileEnd::Failed(BuildFault::DockerfileInstruction {
            line: at,
            missing: what,
            ignored_by: rule,
            message,
            ..
        })) = &report.result
        else {
            panic!("{dockerfile}: {:?}\n{}", report.result, world.log.text());
        };
        assert_eq!(
            (*at, what.as_deref(), rule.as_deref()),
            (Some(line), missing, ignored_by),
            "{dockerfile}: {message}"
        );
        assert!(!message.is_empty());
    }
}

#[tokio::test]
async fn what_tools_say_in_the_failing_step_is_held_against_the_source() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write("package.json", r#"{"devDependencies": {"vite": "5"}}"#);
    world.write(".gitignore", "/generated\n");
    world.write(".dockerignore", "prisma\n");
    world.write("prisma/schema.prisma", "");
    // The base has no npm; what counts is what was installed, not how.
    world.write("npm", "#!/bin/sh\necho installed\n");
    let npm = "FROM BASE AS build\nCOPY . /app\nWORKDIR /app\nENV NODE_ENV=production\nRUN chmod +x npm && ./npm ci\nFROM build\n";
    for (run, cause, clue) in [
        (
            "echo 'sh: 1: harmless: not found'\nRUN vite build",
            Cause::DevDependencyMissing,
            Some(Clue::LeftOut {
                manifest: "package.json".to_owned(),
                reason: "`ENV NODE_ENV=production` (line 4) made the installation skip them".to_owned(),
            }),
        ),
        (
            "cat prisma/schema.prisma",
            Cause::FileExcludedByIgnoreRule,
            Some(Clue::IgnoredBy {
                path: "prisma/schema.prisma".to_owned(),
                rule: ".dockerignore line 1: prisma".to_owned(),
            }),
        ),
        (
            "cat generated/client.js",
            Cause::FileNotInBuildContext,
            Some(Clue::IgnoredBy {
                path: "generated/client.js".to_owned(),
                rule: ".gitignore line 1: /generated".to_owned(),
            }),
        ),
        ("make-it", Cause::CommandNotFound, None),
    ] {
        let report = world.build(&format!("{npm}RUN {run}\n")).await;
        assert_eq!(
            report.result,
            Err(DockerfileEnd::StepFailed),
            "{}",
            world.log.text()
        );
        let finding = report
            .findings
            .first()
            .unwrap_or_else(|| panic!("{run}: {}", world.log.text()));
        assert_eq!(
            (finding.cause, &finding.clue),
            (Some(cause), &clue),
            "{run}: {finding:?}"
        );
    }
}

#[tokio::test]
async fn an_unparsable_file_names_the_line() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world.build("FROM BASE\nRUN true\nRUNN make\n").await;
    let Err(DockerfileEnd::Failed(BuildFault::DockerfileInvalid { line, message, path })) = report.result
    else {
        panic!("{:?}", report.result);
    };
    assert_eq!((path.as_str(), line), ("Dockerfile", Some(3)));
    assert!(message.contains("RUNN"), "{message}");
    std::fs::remove_file(world.source().join("Dockerfile")).unwrap();
    world.write("docker/Dockerfile.prod", "FROM x");
    let report = world.run(world.request()).await;
    let Err(DockerfileEnd::Failed(BuildFault::DockerfileMissing { existing, .. })) = report.result else {
        panic!("{:?}", report.result);
    };
    assert_eq!(existing, ["docker/Dockerfile.prod"]);
}

#[tokio::test]
async fn a_base_image_that_cannot_be_pulled_says_where_and_how_often() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world.build("FROM 127.0.0.1:1/x/y:1\nRUN true\n").await;
    let Err(DockerfileEnd::Failed(BuildFault::BaseImageNotPullable {
        reference,
        host,
        status,
        attempts,
        message,
    })) = report.result
    else {
        panic!("{:?}\n{}", report.result, world.log.text());
    };
    assert_eq!(
        (reference.as_str(), host.as_str(), status, attempts),
        ("127.0.0.1:1/x/y:1", "127.0.0.1:1", None, 3)
    );
    assert!(message.contains("connection refused"), "{message}");
    assert!(report.steps.is_empty());
}

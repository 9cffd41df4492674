//! Node.js apps.

use mainstay_diagnosis::{
    Cause,
    facts::{BuildOutcome, StepOrigin, Termination},
};

use crate::{
    machine,
    world::{World, variable},
};

const MANIFEST: &str = r#"{"name": "shop", "version": "1.0.0", "scripts": {"start": "node index.js"}, "dependencies": {"ms": "2.1.3"}}"#;
const LOCK: &str = r#"{
  "name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
  "packages": {
    "": {"name": "shop", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}},
    "node_modules/ms": {
      "version": "2.1.3", "resolved": "https://registry.npmjs.org/ms/-/ms-2.1.3.tgz",
      "integrity": "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="
    }
  }
}"#;

fn app(index: &str) -> Vec<(&'static str, String)> {
    vec![
        ("package.json", MANIFEST.to_owned()),
        ("package-lock.json", LOCK.to_owned()),
        ("index.js", index.to_owned()),
    ]
}

fn files<'a>(files: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    files.iter().map(|(name, text)| (*name, text.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_built_once_and_its_dependencies_are_used_again() {
    machine!();
    let world = World::new().await;
    let first = app("console.log('one', require('ms')('2 days'))");
    let source = world.source(&files(&first));
    let (image, report) = world.image(world.request(source.clone())).await;
    assert_eq!(report.facts.outcome, BuildOutcome::Succeeded);
    assert_eq!(image.config.processes["web"], "npm start");
    assert!(
        world
            .run(&image, "npm start --silent")
            .await
            .contains("one 172800000")
    );

    let (_, again) = world.image(world.request(source)).await;
    assert!(
        matches!(again.facts.outcome, BuildOutcome::Reused(_)),
        "{:?}",
        again.facts.outcome
    );
    assert!(
        again
            .facts
            .steps
            .iter()
            .all(|step| step.origin == StepOrigin::Platform)
    );

    let second = app("console.log('two', require('ms')('1 h'))");
    let (image, report) = world.image(world.request(world.source(&files(&second)))).await;
    assert!(
        report.facts.steps.iter().all(|step| step.text != "npm ci"),
        "{:?}",
        report.facts.steps
    );
    assert!(
        world
            .run(&image, "npm start --silent")
            .await
            .contains("two 3600000")
    );
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_file_out_of_step_is_found_by_npms_own_code() {
    machine!();
    let world = World::new().await;
    let mut app = app("");
    app[0].1 = MANIFEST.replace("\"ms\": \"2.1.3\"", "\"ms\": \"2.1.3\", \"left-pad\": \"1.3.0\"");
    let (report, lines) = world.build(world.request(world.source(&files(&app)))).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed, "{}", lines.text());
    let step = report.facts.steps.last().unwrap();
    assert_eq!(
        (step.text.as_str(), step.termination),
        ("npm ci", Some(Termination::Exited { code: 1 }))
    );
    assert_eq!(
        report.facts.findings[0].cause,
        Some(Cause::LockfileOutOfStep),
        "{:?}",
        report.facts.findings
    );
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_command_fails_with_its_own_code_and_secrets_stay_hidden() {
    machine!();
    let world = World::new().await;
    let mut request = world.request(world.source(&files(&app(""))));
    request.build_command = Some("echo token is $TOKEN; exit 7".to_owned());
    request
        .variables
        .insert("TOKEN".to_owned(), variable("very-secret-value", true));
    let (report, lines) = world.build(request).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed);
    let step = report.facts.steps.last().unwrap();
    assert_eq!(step.origin, StepOrigin::BuildCommand);
    assert_eq!(step.termination, Some(Termination::Exited { code: 7 }));
    assert!(lines.contain("token is ***"), "{}", lines.text());
    assert_eq!(report.facts.variables, ["TOKEN"]);
}

//! Python apps.

use mainstay_diagnosis::{
    Cause,
    facts::{BuildFault, BuildOutcome},
};

use crate::{machine, world::World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirements_are_installed_once_and_used_by_the_app() {
    machine!();
    let world = World::new().await;
    let files = |text| {
        [
            ("requirements.txt", "click==8.1.7\n"),
            ("Procfile", "web: python app.py\n"),
            ("app.py", text),
        ]
    };
    let first = world.source(&files("import click; click.echo('one')\n"));
    let (image, _) = world.image(world.request(first)).await;
    assert_eq!(image.config.processes["web"], "python app.py");
    assert_eq!(world.run(&image, "python app.py").await, "one");

    let second = world.source(&files("import click; click.echo('two')\n"));
    let (image, report) = world.image(world.request(second)).await;
    assert!(
        report
            .facts
            .steps
            .iter()
            .all(|step| !step.text.starts_with("uv ")),
        "{:?}",
        report.facts.steps
    );
    assert_eq!(world.run(&image, "python app.py").await, "two");
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requirement_that_cannot_be_parsed_is_named() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[("requirements.txt", "click=8\n"), ("app.py", "")]);
    let (report, lines) = world.build(world.request(source)).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed, "{}", lines.text());
    let causes: Vec<_> = report
        .facts
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    assert_eq!(causes, [Some(Cause::ManifestInvalid)], "{}", lines.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_does_not_exist_is_named() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[("requirements.txt", "click==99.0\n"), ("app.py", "")]);
    let (report, lines) = world.build(world.request(source)).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed, "{}", lines.text());
    let finding = &report.facts.findings[0];
    assert_eq!(finding.cause, Some(Cause::DependencyNotFound), "{finding:?}");
    assert_eq!(finding.subject.as_deref(), Some("click==99.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_that_the_stack_has_not_is_refused_by_name() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[("requirements.txt", ""), ("runtime.txt", "python-2.7.18")]);
    let (report, lines) = world.build(world.request(source)).await;
    let BuildOutcome::Failed(BuildFault::ToolchainUnavailable {
        tool,
        wanted,
        declared_in,
        available,
    }) = report.facts.outcome
    else {
        panic!("{}", lines.text())
    };
    assert_eq!(
        (tool.as_str(), wanted.as_str(), declared_in.as_deref()),
        ("python", "2.7.18", Some("runtime.txt"))
    );
    assert!(available[0].starts_with("3."), "{available:?}");
}

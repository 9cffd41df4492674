//! Go modules.

use mainstay_diagnosis::{Cause, facts::BuildOutcome};

use crate::{machine, world::World};

const MAIN: &str = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_program_becomes_the_default_process() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[
        ("api/go.mod", "module example.org/api\n\ngo 1.15\n"),
        ("api/main.go", MAIN),
        ("web/index.html", ""),
    ]);
    let mut request = world.request(source);
    request.source_dir = "/api".to_owned();
    let (image, _) = world.image(request).await;
    assert_eq!(image.config.working_dir.as_deref(), Some("/workspace/api"));
    assert_eq!(image.config.processes["web"], "bin/api");
    assert_eq!(world.run(&image, "bin/api").await, "hello");
    assert_eq!(
        world
            .run(&image, "ls /workspace; command -v go || echo no compiler")
            .await,
        "api\nno compiler"
    );
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_error_has_its_place() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[
        ("go.mod", "module example.org/api\n\ngo 1.15\n"),
        ("main.go", "package main\n\nfunc main() { missing() }\n"),
    ]);
    let (report, lines) = world.build(world.request(source)).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed, "{}", lines.text());
    let finding = &report.facts.findings[0];
    assert_eq!(finding.cause, Some(Cause::CompileError), "{finding:?}");
    assert!(
        finding.subject.as_deref().unwrap().contains("main.go:3:15"),
        "{finding:?}"
    );
}

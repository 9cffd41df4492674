//! Static sites.

use std::fs;

use mainstay_build::Artifact;
use mainstay_diagnosis::facts::{BuildFault, BuildOutcome};
use mainstay_spec::kind::ComponentKind;

use crate::{machine, world::World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_files_are_served_as_they_are() {
    machine!();
    let world = World::new().await;
    let source = world.source(&[("index.html", "<h1>hello</h1>"), ("css/a.css", "")]);
    let mut request = world.request(source);
    request.kind = ComponentKind::StaticSite;
    let (report, lines) = world.build(request).await;
    let output = report.output.unwrap_or_else(|| panic!("{}", lines.text()));
    let Artifact::StaticFiles { path, .. } = output.artifact else {
        panic!("{:?}", output.artifact)
    };
    assert_eq!(
        fs::read_to_string(path.join("index.html")).unwrap(),
        "<h1>hello</h1>"
    );
    assert!(path.join("css/a.css").exists());
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_output_names_what_the_build_wrote() {
    machine!();
    let world = World::new().await;
    let mut request = world.request(world.source(&[("index.html", "")]));
    request.kind = ComponentKind::StaticSite;
    request.build_command = Some("mkdir -p site/css && touch site/index.html site/css/a.css".to_owned());
    request.output_dir = Some("public".to_owned());
    let (report, lines) = world.build(request).await;
    let BuildOutcome::Failed(BuildFault::OutputDirMissing { output_dir, written }) = report.facts.outcome
    else {
        panic!("{:?}\n{}", report.facts.outcome, lines.text())
    };
    assert_eq!(output_dir, "public");
    assert_eq!(written, [("site".to_owned(), 2)]);
}

//! Limits of a build, and its end from outside.

use std::{sync::Arc, time::Duration};

use mainstay_build::{BuildRequest, Builder};
use mainstay_diagnosis::facts::{BuildFault, BuildOutcome, StepOrigin};
use mainstay_spec::kind::ComponentKind;
use tokio::sync::watch;

use crate::{
    machine,
    world::{Lines, World},
};

/// A build of nothing but this command.
fn command(world: &World, text: &str) -> BuildRequest {
    let mut request = world.request(world.source(&[("index.html", "")]));
    request.kind = ComponentKind::StaticSite;
    request.build_command = Some(text.to_owned());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timer_ends_a_step_and_says_which_one_was_running() {
    machine!();
    let world = World::new().await;
    let mut request = command(&world, "echo begun; sleep 600");
    request.limits.time_seconds = 5;
    let (report, lines) = world.build(request).await;
    assert_eq!(report.facts.outcome, BuildOutcome::TimedOut, "{}", lines.text());
    let step = report.facts.steps.last().unwrap();
    assert_eq!((step.origin, step.termination), (StepOrigin::BuildCommand, None));
    assert!(step.last_output_at.is_some());
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_kill_is_counted_even_when_the_shell_hides_it() {
    machine!();
    let world = World::new().await;
    let mut request = command(&world, "python3 -c 'x = bytearray(400 << 20)' || exit 7");
    request.limits.memory_bytes = 128 << 20;
    let (report, lines) = world.build(request).await;
    assert_eq!(report.facts.outcome, BuildOutcome::StepFailed, "{}", lines.text());
    let step = report.facts.steps.last().unwrap();
    assert_eq!(step.memory.kills.len(), 1, "{step:?}");
    assert_eq!(report.facts.memory.kills.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_step_and_leaves_nothing() {
    machine!();
    let world = World::new().await;
    let (cancel, canceled) = watch::channel(false);
    let lines = Arc::new(Lines::default());
    let building = world
        .builder
        .build(command(&world, "echo begun; sleep 600"), lines.clone(), canceled);
    let canceling = async {
        let begun = async {
            while !lines.has("begun") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(5), begun)
            .await
            .expect("the step begins");
        cancel.send_replace(true);
    };
    let (report, ()) = tokio::join!(building, canceling);
    assert_eq!(report.facts.outcome, BuildOutcome::Canceled);
    assert_eq!(world.remains().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_budget_ends_a_build_that_writes_too_much() {
    machine!();
    let world = World::new().await;
    let mut request = command(&world, "head -c 300M /dev/zero > big; sleep 600");
    request.limits.disk_bytes = 64 << 20;
    let (report, lines) = world.build(request).await;
    let BuildOutcome::Failed(BuildFault::DiskBudget {
        limit_bytes,
        used_bytes,
    }) = report.facts.outcome
    else {
        panic!("{:?}\n{}", report.facts.outcome, lines.text())
    };
    assert_eq!(limit_bytes, 64 << 20);
    assert!(used_bytes > limit_bytes);
}

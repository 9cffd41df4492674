//! Jobs by the clock: each time gives rise to one run, whatever happens meanwhile.

use std::{sync::Mutex, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{Cause, Code};
use mainstay_spec::{AppSpec, Format, ids::AppId, schedule::Schedule};
use mainstay_store::{InvocationPhase, InvocationRow, Trigger};
use mainstay_testkit::Place;

use super::{
    calls::Mishap,
    commits::Refusal,
    engine::{CRASHES, ENDS, RUNS_ON},
    world::{FORWARD, LOOK_EVERY, PATIENCE, Server, World, put_clock_forward},
};

const DAY: Duration = Duration::from_hours(24);
const GETS_THERE_WITHIN: Duration = Duration::from_mins(2);
const JOB: &str = "nightly";

/// A service and a job that is due every day.
fn spec(world: &World, run_command: &str) -> AppSpec {
    let job = format!(
        "
name: shop
jobs:
- name: {JOB}
  kind: SCHEDULED
  schedule: {{cron: '30 3 * * *', time_zone: Europe/Berlin}}
  git: {{repo_clone_url: https://git.example/shop.git, branch: main}}
  run_command: {run_command}
  instance_size_slug: apps-s-1vcpu-1gb
"
    );
    let parsed = mainstay_spec::parse(&job, Format::Yaml);
    AppSpec {
        jobs: parsed.unwrap_or_else(|errors| panic!("{errors}")).spec.jobs,
        ..world.good("1")
    }
}

/// A second after the job is due.
fn come_to_next_time(world: &World) {
    let jobs = spec(world, ENDS).jobs;
    let schedule = Schedule::read(jobs[0].schedule.as_ref().expect("it has one")).expect("it is valid");
    let now = world.clock.now();
    let left = schedule.next_after(now).expect("every day").duration_since(now);
    let left = Duration::try_from(left).expect("it is later");
    world.clock.put_forward(left + Duration::from_secs(1));
}

async fn serving(server: &Server<'_>, run_command: &str) -> AppId {
    let spec = spec(server.world, run_command);
    let app = server.create(&spec).await.expect("nothing is wrong yet");
    server.settle().await.expect("nothing is wrong yet");
    app
}

/// By the time of the schedule.
async fn runs(server: &Server<'_>, app: AppId) -> Vec<InvocationRow> {
    let store = &server.application.platform.store;
    // A store that was made to refuse is asked again.
    let listed = store.invocations(app, &[], None, 0, 100).await;
    let mut runs = listed.map_or_else(|_| Vec::new(), |(runs, _)| runs);
    runs.sort_by_key(due_at);
    runs
}

fn due_at(run: &InvocationRow) -> Option<Timestamp> {
    match run.trigger {
        Trigger::Schedule { due_at } => Some(due_at),
        _ => None,
    }
}

fn phases(runs: &[InvocationRow]) -> Vec<InvocationPhase> {
    runs.iter().map(|run| run.phase).collect()
}

/// Waits until there are such runs; the clock of pauses, not that on the wall, is put forward meanwhile.
async fn wait_for(
    server: &Server<'_>,
    app: AppId,
    enough: impl Fn(&[InvocationRow]) -> bool,
) -> Result<Vec<InvocationRow>, String> {
    let began = std::time::Instant::now();
    let mut patient_until = began;
    loop {
        let now = runs(server, app).await;
        if enough(&now) {
            return Ok(now);
        }
        if began.elapsed() > GETS_THERE_WITHIN {
            return Err(format!("there are {now:?}"));
        }
        if std::time::Instant::now() >= patient_until {
            put_clock_forward(FORWARD).await;
            patient_until = std::time::Instant::now() + PATIENCE;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn over(count: usize) -> impl Fn(&[InvocationRow]) -> bool {
    move |runs| runs.len() == count && runs.iter().all(|run| run.phase.is_over())
}

async fn run_reason(server: &Server<'_>, app: AppId) -> Option<(Code, Cause, bool)> {
    let store = &server.application.platform.store;
    let active = store.app(app).await.unwrap().unwrap().active_deployment.unwrap();
    let rows = store.reasons(active).await.unwrap();
    let row = rows
        .into_iter()
        .find(|row| row.component == JOB && row.stage == "run")?;
    Some((row.reason.code, row.reason.cause, row.resolved_at.is_some()))
}

#[test]
fn each_time_gives_rise_to_one_run_and_a_failed_one_is_shown() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let app = serving(server, CRASHES).await;
        assert!(runs(server, app).await.is_empty(), "nothing was due yet");
        let from = world.clock.now();
        come_to_next_time(&world);
        let first = wait_for(server, app, over(1)).await.unwrap();
        assert_eq!(phases(&first), [InvocationPhase::Failed]);
        let due = due_at(&first[0]).expect("it is one of the schedule");
        assert!(due > from && due <= world.clock.now(), "{due}");
        let reason = first[0].reason.as_ref().expect("a failed run says why");
        assert_eq!(reason.code, Code::ContainerExitNonZero);
        server.settle().await.expect("the deployment is as it was");
        let shown = run_reason(server, app).await;
        assert_eq!(shown, Some((Code::ContainerExitNonZero, reason.cause, false)));

        come_to_next_time(&world);
        let second = wait_for(server, app, over(2)).await.unwrap();
        // A day of 23 or 25 hours is one, too.
        let between = due_at(&second[1]).unwrap().duration_since(due).as_hours();
        assert!((23..=25).contains(&between), "{second:?}");
        assert!(
            second.iter().all(|run| run.note.is_none()),
            "none was late: {second:?}"
        );
    });
    assert!(lived.is_some());
}

#[test]
fn a_good_run_resolves_what_the_one_before_it_said() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let app = serving(server, CRASHES).await;
        let by_hand = server.application.run_job(app, JOB, "admin").await;
        by_hand.expect("it can be asked for");
        wait_for(server, app, over(1)).await.unwrap();
        let deadline = std::time::Instant::now() + GETS_THERE_WITHIN;
        while run_reason(server, app).await.is_none() {
            assert!(std::time::Instant::now() < deadline, "the failure is not shown");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        server.world.machine.succeed_from_now_on();
        world.clock.put_forward(DAY);
        let runs = wait_for(server, app, over(2)).await.unwrap();
        assert!(phases(&runs).contains(&InvocationPhase::Succeeded), "{runs:?}");
        while run_reason(server, app)
            .await
            .is_none_or(|(.., resolved)| !resolved)
        {
            assert!(
                std::time::Instant::now() < deadline,
                "the failure is not resolved"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    assert!(lived.is_some());
}

#[test]
fn a_run_that_goes_on_keeps_the_next_one_from_beginning() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let app = serving(server, RUNS_ON).await;
        world.clock.put_forward(DAY);
        let is_running = |runs: &[InvocationRow]| phases(runs) == [InvocationPhase::Running];
        let first = wait_for(server, app, is_running).await.unwrap();
        world.clock.put_forward(DAY);
        let both = wait_for(server, app, |runs| runs.len() == 2).await.unwrap();
        assert_eq!(
            phases(&both),
            [InvocationPhase::Running, InvocationPhase::Skipped]
        );
        let note = both[1].note.as_deref().unwrap_or_default();
        assert!(note.contains(&first[0].id.to_string()), "{note}");
        let canceled = server.application.cancel_invocation(app, first[0].id).await;
        assert_eq!(canceled.unwrap().row.phase, InvocationPhase::Canceled);
        world.clock.put_forward(DAY);
        wait_for(server, app, |runs| {
            runs.len() == 3 && runs[2].phase == InvocationPhase::Running
        })
        .await
        .unwrap();
    });
    assert!(lived.is_some());
}

#[test]
fn of_times_that_passed_without_a_server_the_latest_is_made_up() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let app = world.live(async |server| serving(server, ENDS).await);
    let app = app.expect("it was not killed");
    world.clock.put_forward(3 * DAY);
    let lived = world.live(async |server| {
        let runs = wait_for(server, app, over(1)).await.unwrap();
        assert_eq!(phases(&runs), [InvocationPhase::Succeeded]);
        let note = runs[0].note.as_deref().unwrap_or_default();
        assert!(note.contains("2 times before it were missed"), "{note}");
        let behind = world.clock.now().duration_since(due_at(&runs[0]).unwrap());
        assert!(behind.as_hours() < 25, "it is the latest: {behind}");
    });
    assert!(lived.is_some());
}

#[test]
fn a_new_schedule_is_not_due_for_times_before_it_was_deployed() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let app = serving(server, ENDS).await;
        let mut other = spec(server.world, ENDS);
        // The hour before this one.
        let hour = world.clock.now() - jiff::SignedDuration::from_hours(1);
        let cron = hour.strftime("%-M %-H * * *").to_string();
        other.jobs[0].schedule.as_mut().unwrap().cron = cron;
        other.jobs[0].schedule.as_mut().unwrap().time_zone = None;
        server.update(app, &other).await.expect("nothing is wrong");
        server.settle().await.expect("nothing is wrong");
        put_clock_forward(FORWARD).await;
        server.settle().await.expect("nothing is wrong");
        assert!(runs(server, app).await.is_empty());
        world.clock.put_forward(DAY);
        wait_for(server, app, over(1)).await.unwrap();
    });
    assert!(lived.is_some());
}

/// What goes wrong while a job is due. `Err`: what is wrong afterwards.
fn attempt(world: &World, plan: impl Fn(&World)) -> Result<(), String> {
    let app = Mutex::new(None);
    let first = world.live(async |server| {
        let serving = serving(server, ENDS).await;
        *app.lock().unwrap() = Some(serving);
        plan(world);
        world.clock.put_forward(DAY);
        check_one(server, serving).await
    });
    if let Some(lived) = first {
        return lived;
    }
    let app = app.lock().unwrap().take().ok_or("killed too early")?;
    let second = world.live(async |server| check_one(server, app).await);
    second.unwrap_or_else(|| Err("killed twice".to_owned()))
}

/// One run, at its end, of which at most one instance was ever started.
async fn check_one(server: &Server<'_>, app: AppId) -> Result<(), String> {
    let runs = wait_for(server, app, |runs| !runs.is_empty() && over(runs.len())(runs)).await?;
    server.settle().await?;
    let after = self::runs(server, app).await;
    if (runs.len(), after.len()) != (1, 1) {
        return Err(format!("there are {after:?}"));
    }
    let run = &runs[0];
    if run.phase == InvocationPhase::Failed && run.reason.is_none() {
        return Err(format!("it failed without a reason: {run:?}"));
    }
    match server.world.machine.started(JOB) {
        0 | 1 => Ok(()),
        many => Err(format!("{many} instances of the job were started")),
    }
}

fn survives(plans: impl Iterator<Item = (String, Box<dyn Fn(&World)>)>) {
    let place = Place::claim();
    let mut wrong = Vec::new();
    for (number, (name, plan)) in (0..).zip(plans) {
        let world = World::new(place.address(3).port(), number);
        if let Err(text) = attempt(&world, plan) {
            wrong.push(format!("{name}: {text}\n    calls: {:?}", world.calls.disarm()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// More than a run takes; what does not happen is survived, too.
const CALLS: usize = 10;
const COMMITS: usize = 8;

#[test]
fn a_time_is_acted_upon_once_although_the_server_is_killed_at_a_call() {
    let mishaps = [Mishap::DiesBefore, Mishap::DiesAfter];
    let plans = mishaps.into_iter().flat_map(|mishap| {
        (0..CALLS).map(move |number| {
            let plan = move |world: &World| world.calls.plan(number, mishap);
            (
                format!("{mishap:?} {number}"),
                Box::new(plan) as Box<dyn Fn(&World)>,
            )
        })
    });
    survives(plans);
}

#[test]
fn a_time_is_acted_upon_once_although_commits_go_wrong() {
    let refusals = [
        Refusal::Refused,
        Refusal::DiesBefore,
        Refusal::DiesAfter,
        Refusal::ThenInterrupted,
    ];
    let plans = refusals.into_iter().flat_map(|refusal| {
        (0..COMMITS).map(move |number| {
            let plan = move |world: &World| world.commits.plan(number, refusal);
            (
                format!("{refusal:?} {number}"),
                Box::new(plan) as Box<dyn Fn(&World)>,
            )
        })
    });
    survives(plans);
}

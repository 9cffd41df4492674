//! People, crashes and kills in any order: whatever came, nothing is wrong once the dust has settled.

use std::time::Duration;

use mainstay_spec::ids::AppId;
use mainstay_testkit::Place;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    builder::{FAILS, TAKES_LONG},
    calls::Mishap,
    commits::Refusal,
    engine::{CRASHES, SERVES},
    world::{Server, World},
};

const SEEDS: u64 = 6;
const SEEDS_LONG: u64 = 60;
const OPERATIONS: usize = 10;
/// Calls and commits of a few deployments.
const FAR: usize = 40;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Deploy,
    DeploySlowly,
    DeployWhatCrashes,
    DeployWhatCannotBeBuilt,
    Cancel,
    Restart,
    RollBack,
    CommitRollback,
    RevertRollback,
    Delete,
    CrashAnInstance,
    FailACall,
    RefuseACommit,
    KillAtACall,
    KillAtACommit,
    KillNow,
    Settle,
    Wait,
}

impl Operation {
    const ALL: [Self; 18] = [
        Self::Deploy,
        Self::DeploySlowly,
        Self::DeployWhatCrashes,
        Self::DeployWhatCannotBeBuilt,
        Self::Cancel,
        Self::Restart,
        Self::RollBack,
        Self::CommitRollback,
        Self::RevertRollback,
        Self::Delete,
        Self::CrashAnInstance,
        Self::FailACall,
        Self::RefuseACommit,
        Self::KillAtACall,
        Self::KillAtACommit,
        Self::KillNow,
        Self::Settle,
        Self::Wait,
    ];

    fn any(random: &mut StdRng) -> Self {
        Self::ALL[random.random_range(0..Self::ALL.len())]
    }
}

/// One history.
struct History {
    random: StdRng,
    done: Vec<Operation>,
}

impl History {
    /// Goes on until the operations are used up; a killed server's successor takes over.
    async fn go_on(&mut self, server: &Server<'_>) -> Result<(), String> {
        while self.done.len() < OPERATIONS {
            let operation = Operation::any(&mut self.random);
            self.done.push(operation);
            self.carry_out(server, operation).await?;
        }
        server.world.calls.disarm();
        server.world.commits.disarm();
        server.settle().await
    }

    /// What the API refuses is refused; it is nobody's fault.
    async fn carry_out(&mut self, server: &Server<'_>, operation: Operation) -> Result<(), String> {
        let world = server.world;
        let number = self.random.random_range(0..FAR);
        match operation {
            Operation::Deploy => self.deploy(server, SERVES, "build").await,
            Operation::DeploySlowly => self.deploy(server, SERVES, TAKES_LONG).await,
            Operation::DeployWhatCrashes => self.deploy(server, CRASHES, "build").await,
            Operation::DeployWhatCannotBeBuilt => self.deploy(server, SERVES, FAILS).await,
            Operation::Cancel => cancel_newest(server).await,
            Operation::Restart => {
                if let Some(app) = the_app(server).await {
                    drop(server.application.restart_app(app, &[]).await);
                }
            }
            Operation::RollBack => roll_back(server, number % 2 == 0).await,
            Operation::CommitRollback => {
                if let Some(app) = the_app(server).await {
                    drop(server.application.commit_rollback(app).await);
                }
            }
            Operation::RevertRollback => {
                if let Some(app) = the_app(server).await {
                    drop(server.application.revert_rollback(app).await);
                }
            }
            Operation::Delete => {
                if let Some(app) = the_app(server).await {
                    drop(server.application.delete_app(app, false).await);
                }
            }
            Operation::CrashAnInstance => {
                if let Some(status) = world.machine.running().first() {
                    world.machine.crash(status.id);
                }
            }
            Operation::FailACall => world.calls.plan(number, Mishap::Fails),
            Operation::RefuseACommit => world.commits.plan(number, Refusal::Refused),
            Operation::KillAtACall => world.calls.plan(number, Mishap::DiesAfter),
            Operation::KillAtACommit => world.commits.plan(number, Refusal::DiesAfter),
            Operation::KillNow => {
                world.calls.die();
                std::future::pending::<()>().await;
            }
            Operation::Settle => server.settle().await?,
            Operation::Wait => {
                let pause = Duration::from_millis(self.random.random_range(0..60));
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    async fn deploy(&self, server: &Server<'_>, run_command: &str, build_command: &str) {
        let version = self.done.len().to_string();
        let spec = server.world.spec(&version, run_command, build_command);
        match the_app(server).await {
            Some(app) => drop(server.update(app, &spec).await),
            None => drop(server.create(&spec).await),
        }
    }
}

async fn the_app(server: &Server<'_>) -> Option<AppId> {
    let view = server
        .application
        .app_by_name(mainstay_spec::ids::AccountId::FIRST, "shop")
        .await
        .ok()?;
    Some(view.app.id)
}

/// To the oldest deployment there is, if it ever served.
async fn roll_back(server: &Server<'_>, skip_pin: bool) {
    let Some(app) = the_app(server).await else { return };
    let store = &server.application.platform.store;
    let Ok((rows, _)) = store.deployments(app, 0, FAR as u64).await else {
        return;
    };
    if let Some(row) = rows.last() {
        drop(server.application.roll_back(app, row.id, skip_pin).await);
    }
}

async fn cancel_newest(server: &Server<'_>) {
    let Some(app) = the_app(server).await else { return };
    let store = &server.application.platform.store;
    let Ok((newest, _)) = store.deployments(app, 0, 1).await else {
        return;
    };
    if let Some(row) = newest.first() {
        drop(server.application.cancel_deployment(app, row.id).await);
    }
}

/// `Err`: the history and what is wrong after it.
fn live_through(seed: u64, port: u16) -> Result<(), String> {
    let world = World::new(port, u32::try_from(seed).unwrap());
    let mut history = History {
        random: StdRng::seed_from_u64(seed),
        done: Vec::new(),
    };
    loop {
        if let Some(lived) = world.live(async |server| history.go_on(server).await) {
            return lived.map_err(|wrong| format!("seed {seed}, {:?}: {wrong}", history.done));
        }
    }
}

#[test]
fn nothing_is_wrong_after_any_history() {
    let place = Place::claim();
    let port = place.address(3).port();
    let seeds = if super::is_long() { SEEDS_LONG } else { SEEDS };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let histories: Vec<_> = (0..seeds)
            .map(|seed| scope.spawn(move || live_through(seed, port)))
            .collect();
        let ended = histories
            .into_iter()
            .map(|history| history.join().expect("it does not panic"));
        ended.filter_map(Result::err).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

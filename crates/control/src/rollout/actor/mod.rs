//! One actor per app: it alone decides what happens to the app's deployments.

mod commands;
mod current;
mod jobs;
mod reasons;
mod schedules;
mod serving;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use mainstay_diagnosis::facts::StopReason;
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId, InvocationId};
use mainstay_store::{AppChange, DeploymentRow, NewDeployment};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    current::{Current, keep_late},
    jobs::Running,
    schedules::Timetable,
    serving::Serving,
};
use super::{
    effects::Outcome,
    jobs::{JobRefusal, JobReport},
    replica::Report,
};
use crate::{
    platform::{Platform, PlatformError},
    tasks::Stage,
};

const MAILBOX: usize = 256;
/// The store is all we have: while it cannot be written, nothing goes on.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Retiring is level-triggered: what failed is tried again this often.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// An instance that is ready, by id.
pub(crate) type ReadyInstance = (InstanceId, Ipv4Addr);

/// What the application layer asks of an app.
#[derive(Debug)]
pub(crate) enum Command {
    /// Store the deployment with what it changes about the app, and make it live; answers once it is stored.
    Deploy {
        new: Box<NewDeployment>,
        change: AppChange,
        stored: oneshot::Sender<Result<(), PlatformError>>,
    },
    /// Answers false when it is too late.
    Cancel {
        deployment: DeploymentId,
        by: String,
        canceled: oneshot::Sender<bool>,
    },
    /// Run a job of the serving deployment now; answers once the run is stored.
    RunJob {
        job: String,
        by: String,
        begun: oneshot::Sender<Result<InvocationId, JobRefusal>>,
    },
    /// End a run before its time; answers once it ended.
    CancelInvocation {
        invocation: InvocationId,
        canceled: oneshot::Sender<Result<(), JobRefusal>>,
    },
    /// Take everything down and forget the app; answers when it is gone.
    Delete { gone: oneshot::Sender<()> },
}

/// News from the tasks of a deployment.
#[derive(Debug)]
pub(crate) enum Message {
    Outcome(Outcome),
    Report(Report),
    Job(JobReport),
}

pub(crate) struct Actor {
    platform: Arc<Platform>,
    app: AppId,
    commands: mpsc::Receiver<Command>,
    messages: mpsc::Receiver<(DeploymentId, Message)>,
    outbox: mpsc::Sender<(DeploymentId, Message)>,
    current: Option<Current>,
    waiting: VecDeque<Arc<DeploymentRow>>,
    serving: Option<Serving>,
    /// Job runs that have not ended.
    running: HashMap<InvocationId, Running>,
    /// Of what serves; read when it begins to.
    timetable: Option<Timetable>,
    /// After the store refused.
    schedules_wait_until: Instant,
    /// Deployments whose released fleets are being retired, by chores of their own.
    leaving: HashSet<DeploymentId>,
    /// Each ends with the deployment that it was about, if it was about one.
    chores: JoinSet<Option<DeploymentId>>,
}

impl Actor {
    /// Starts the app's actor; it ends when the app is deleted, nobody can ask for anything any more, or the server ends.
    pub(crate) fn spawn(platform: &Arc<Platform>, app: AppId) -> mpsc::Sender<Command> {
        let (sender, commands) = mpsc::channel(MAILBOX);
        let (outbox, messages) = mpsc::channel(MAILBOX);
        let actor = Self {
            platform: Arc::clone(platform),
            app,
            commands,
            messages,
            outbox,
            current: None,
            waiting: VecDeque::new(),
            serving: None,
            running: HashMap::new(),
            timetable: None,
            schedules_wait_until: Instant::now(),
            leaving: HashSet::new(),
            chores: JoinSet::new(),
        };
        platform.tasks.spawn_actor(actor.run());
        sender
    }

    async fn run(mut self) {
        let platform = Arc::clone(&self.platform);
        self.wake_up().await;
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        loop {
            self.begin_next().await;
            let deadline = self.current.as_ref().map(|current| current.deadline);
            let due = self.next_due();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Delete { gone }) => {
                        self.delete().await;
                        // Whoever asked may be gone as well.
                        gone.send(()).ok();
                        return;
                    }
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                Some((deployment, message)) = self.messages.recv() => self.hear(deployment, message).await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.out_of_time().await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.keep_schedules().await,
                Some(done) = self.chores.join_next() => {
                    match done {
                        Ok(Some(deployment)) => drop(self.leaving.remove(&deployment)),
                        Ok(None) => {}
                        // Which one broke off is not known: whatever it left is tidied up.
                        Err(_) => self.leaving.clear(),
                    }
                }
                () = platform.tasks.until(Stage::Ending) => return,
                _ = tidy.tick() => self.tidy_up().await,
            }
        }
    }

    /// Takes up what an earlier server left: the serving instances, and what was under way.
    async fn wake_up(&mut self) {
        loop {
            match self.platform.store.unsettled_deployments(self.app).await {
                Ok(unsettled) => break self.waiting.extend(unsettled.into_iter().map(Arc::new)),
                Err(error) => {
                    tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not read an app's deployments");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        self.serve_again().await;
        self.take_up_jobs().await;
    }

    /// What could not be done before, and what nobody reported.
    async fn tidy_up(&mut self) {
        match &self.serving {
            Some(serving) => self.close_superseded(serving.row.id).await,
            None => self.serve_again().await,
        }
        self.take_up_accepted().await;
        self.take_up_jobs().await;
        self.retire_the_rest(StopReason::DeploymentEnded).await;
    }

    async fn hear(&mut self, deployment: DeploymentId, message: Message) {
        let of_current = self
            .current
            .as_ref()
            .is_some_and(|current| current.row.id == deployment);
        match message {
            Message::Outcome(outcome) if of_current => {
                let event = self.explained(outcome.event);
                self.advance(Outcome { event, ..outcome }).await;
            }
            Message::Report(report) if of_current => self.hear_new_instance(report).await,
            Message::Report(report) if self.serves(deployment) => self.hear_serving_instance(report).await,
            Message::Job(report) => self.hear_job(deployment, report).await,
            Message::Outcome(outcome) => keep_late(&self.platform, &outcome.builds).await,
            Message::Report(_) => {}
        }
    }

    fn serves(&self, deployment: DeploymentId) -> bool {
        self.serving
            .as_ref()
            .is_some_and(|serving| serving.row.id == deployment)
    }
}

//! One step: a container from its start to its end. Its removal goes on beside what comes next, see [`Removal`].

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{
    BuildFault, ExecFault, ExitRecord, MemoryRecord, StepFacts, StepOrigin, StopReason, Termination,
    ToolFinding,
};
use mainstay_engine::{
    Engine, EngineError, InstanceOwner, InstanceSpec, Limits, LogQuery, Mount, Network, StartError,
};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::{AppId, BuildId, InstanceId};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    clock::{Clock, Interruption},
    disk_watch::{DiskWatch, Exceeded},
    output::{self, OutputFacts},
    workspace::BUILD_USER,
};
use crate::{BuildLimits, findings::Findings, source::platform_fault, transcript::Transcript};

/// Below what apps have, so that running apps win (apps: 1024).
const CPU_SHARES: u32 = 512;
/// For a step that is to end because its time is over; builds have nothing to save.
const GRACE_PERIOD: Duration = Duration::from_secs(3);
/// The rest of a step's output arrives within milliseconds of its end.
const OUTPUT_DEADLINE: Duration = Duration::from_secs(20);
const SIGTERM: i32 = 15;

/// What all steps of a build have in common.
#[derive(Debug, Clone)]
pub(crate) struct ContainerTemplate {
    pub(crate) app: AppId,
    pub(crate) build: BuildId,
    /// Bottom first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) working_dir: String,
    pub(crate) limits: BuildLimits,
}

/// One command.
#[derive(Debug)]
pub(crate) struct StepCommand {
    /// As shown: "npm ci".
    pub(crate) text: String,
    pub(crate) origin: StepOrigin,
    pub(crate) argv: Vec<String>,
    /// Above the template's.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) mounts: Vec<Mount>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct StepEnd {
    pub(crate) facts: StepFacts,
    pub(crate) findings: Vec<ToolFinding>,
    pub(crate) ending: Ending,
}

#[derive(Debug)]
pub(crate) enum Ending {
    Succeeded,
    Failed,
    TimedOut,
    Canceled,
    /// The build could not be carried out.
    Fault(BuildFault),
}

/// Runs steps.
#[derive(Debug)]
pub(crate) struct StepRunner {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) template: ContainerTemplate,
    pub(crate) clock: Clock,
    pub(crate) disk: DiskWatch,
    pub(crate) transcript: Transcript,
    pub(crate) removal: Removal,
}

/// The removal of the container that ended last. Nothing of it writes any more, but its mounts stay for some ten milliseconds: what it made
/// can be kept meanwhile, another step on the same files has to wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Removal(Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>);

impl Removal {
    /// Returns when nothing of any container is left.
    pub(crate) async fn done(&self) {
        if let Some(removal) = self.0.lock().await.take() {
            // A panic in there has told its own story; the sweep removes what it left.
            let _ = removal.await;
        }
    }

    async fn begin(&self, removal: impl Future<Output = ()> + Send + 'static) {
        self.done().await;
        *self.0.lock().await = Some(tokio::spawn(removal));
    }
}

/// What ended the wait for a step.
enum Waited {
    Ended(Box<Result<ExitRecord, EngineError>>),
    Interrupted(Interruption),
    DiskExceeded(Exceeded),
}

impl StepRunner {
    /// Runs a command to its end. Its container is over when this returns, and gone after [`Removal::done`].
    pub(crate) async fn run(&self, command: StepCommand, findings: Findings) -> StepEnd {
        let id = InstanceId::from_uuid(Uuid::new_v4());
        self.removal.done().await;
        let mut facts = begin(&command);
        let (ending, output) = match self.engine.start(self.instance(id, &command)).await {
            Err(error) => (self.refused(error, &mut facts), OutputFacts::default()),
            Ok(_) => self.follow(id, findings, &mut facts).await,
        };
        facts.elapsed_ms = elapsed_ms(facts.started_at);
        facts.last_output_at = output.last_output_at;
        facts.disk_full = matches!(ending, Ending::Failed) && self.disk.is_full();
        StepEnd {
            facts,
            findings: output.findings,
            ending,
        }
    }

    async fn follow(
        &self,
        id: InstanceId,
        findings: Findings,
        facts: &mut StepFacts,
    ) -> (Ending, OutputFacts) {
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let reading = match self.engine.logs(id, query).await {
            Ok(stream) => Some(tokio::spawn(output::read(
                stream,
                self.transcript.clone(),
                findings,
            ))),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the output of a build step cannot be followed"
                );
                None
            }
        };
        let ending = self.wait(id, facts).await;
        let output = match reading {
            Some(reading) => tokio::time::timeout(OUTPUT_DEADLINE, reading).await,
            None => Ok(Ok(OutputFacts::default())),
        };
        self.removal.begin(remove(Arc::clone(&self.engine), id)).await;
        (ending, output.ok().and_then(Result::ok).unwrap_or_default())
    }

    async fn wait(&self, id: InstanceId, facts: &mut StepFacts) -> Ending {
        let waited = tokio::select! {
            // A step that ended on its own ended so, even if the time is over in the same moment.
            biased;
            record = self.engine.wait(id) => Waited::Ended(Box::new(record)),
            interruption = self.clock.interrupted() => Waited::Interrupted(interruption),
            exceeded = self.disk.exceeded() => Waited::DiskExceeded(exceeded),
        };
        match waited {
            Waited::Ended(result) => match *result {
                Ok(record) => ended(record, facts),
                Err(error) => Ending::Fault(platform_fault("waiting for a build step", &error)),
            },
            Waited::Interrupted(Interruption::TimedOut) => {
                self.stop(id, StopReason::TimeLimit, facts).await;
                Ending::TimedOut
            }
            Waited::Interrupted(Interruption::Canceled) => {
                self.stop(id, StopReason::Requested, facts).await;
                Ending::Canceled
            }
            Waited::DiskExceeded(exceeded) => {
                self.stop(id, StopReason::Requested, facts).await;
                Ending::Fault(BuildFault::DiskBudget {
                    limit_bytes: exceeded.limit_bytes,
                    used_bytes: exceeded.used_bytes,
                })
            }
        }
    }

    /// Ends a step; its memory record is kept, its status is not its own.
    async fn stop(&self, id: InstanceId, reason: StopReason, facts: &mut StepFacts) {
        match self.engine.stop(id, reason, GRACE_PERIOD).await {
            Ok(record) => facts.memory = record.memory,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a build step could not be stopped"
                );
            }
        }
    }

    /// A program that is not there is the step's failure, as a shell would have it; all else is the platform's.
    fn refused(&self, error: StartError, facts: &mut StepFacts) -> Ending {
        match error {
            StartError::Refused(fault) => {
                self.transcript.tool(LogSource::Platform, &refusal(&fault));
                facts.termination = Some(Termination::Exited { code: 127 });
                Ending::Failed
            }
            StartError::Engine(error) => Ending::Fault(platform_fault("starting a build step", &error)),
        }
    }

    fn instance(&self, id: InstanceId, command: &StepCommand) -> InstanceSpec {
        let template = &self.template;
        let mut env = template.env.clone();
        env.extend(command.env.clone());
        InstanceSpec {
            id,
            owner: InstanceOwner::BuildStep {
                app: template.app,
                build: template.build.to_string(),
            },
            layers: template.layers.clone(),
            mounts: command.mounts.clone(),
            argv: command.argv.clone(),
            env,
            working_dir: template.working_dir.clone(),
            user: Some(format!("{}:{}", BUILD_USER.0, BUILD_USER.1)),
            hostname: "build".to_owned(),
            limits: Limits {
                memory_bytes: template.limits.memory_bytes,
                cpu_millis: template.limits.cpu_millis,
                cpu_shares: CPU_SHARES,
                pids: template.limits.pids,
                disk_bytes: Some(template.limits.disk_bytes),
            },
            network: Network::Build,
            stop_signal: SIGTERM,
        }
    }
}

async fn remove(engine: Arc<dyn Engine>, id: InstanceId) {
    let removed = async {
        engine.remove(id).await?;
        engine.forget(id).await
    };
    if let Err(error) = removed.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the container of a build step stays until the next sweep"
        );
    }
}

fn begin(command: &StepCommand) -> StepFacts {
    StepFacts {
        text: command.text.clone(),
        origin: command.origin,
        line: None,
        started_at: Timestamp::now(),
        elapsed_ms: 0,
        termination: None,
        memory: MemoryRecord::default(),
        last_output_at: None,
        disk_full: false,
        pids_limit_hits: None,
    }
}

fn ended(record: ExitRecord, facts: &mut StepFacts) -> Ending {
    facts.memory = record.memory;
    facts.termination = record.termination;
    facts.pids_limit_hits = record.pids_limit_hits;
    match record.termination {
        Some(termination) if termination.is_success() => Ending::Succeeded,
        Some(_) => Ending::Failed,
        None => Ending::Fault(BuildFault::Platform {
            operation: "running a build step".to_owned(),
            error_chain: vec!["the step's exit status was lost".to_owned()],
        }),
    }
}

fn refusal(fault: &ExecFault) -> String {
    let program = fault.argv.first().map_or("", String::as_str);
    format!("{program} cannot be executed: {:?}", fault.kind)
}

pub(super) fn elapsed_ms(since: Timestamp) -> u64 {
    let passed = Timestamp::now().duration_since(since);
    u64::try_from(passed.as_millis()).unwrap_or(0)
}

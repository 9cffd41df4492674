//! What an instance of a component is: from the deployment's spec and the build's output. Pure, once the image is read.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use mainstay_diagnosis::facts::{
    BuilderChoice, Changes, CommandFacts, CommandSource, JobFacts, ProbeDefinition, SizeFacts,
};
use mainstay_engine::{InstanceOwner, InstanceSpec, Limits, Network};
use mainstay_images::record::ImageConfig;
use mainstay_spec::{
    AppSpec, ComponentRef, JobKind, Probe,
    environment::Binding,
    ids::{AppId, DeploymentId, InstanceId},
    kind::ComponentKind,
};

use crate::databases;

const CPU_SHARES_APPS: u32 = 1024;
const PIDS_MAX: u32 = 2048;
/// Shorter secrets are not masked: they would blot out ordinary text.
const MASKED_CHARS_MIN: usize = 4;
/// The container's own file system (`app-platform.md` d.2).
const DISK_BYTES_MAX: u64 = 4 << 30;

/// Everything that the instances of one component share.
#[derive(Debug, Clone)]
pub(crate) struct InstancePlan {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub kind: ComponentKind,
    pub job: Option<JobFacts>,
    pub count: u32,
    pub command: CommandFacts,
    pub size: SizeFacts,
    pub readiness: Option<ProbeDefinition>,
    pub liveness: Option<ProbeDefinition>,
    /// Host header of HTTP probes; the instance's own address when `None`.
    pub probe_host: Option<String>,
    pub grace_period: Duration,
    /// What differs from the last good deployment.
    pub changes: Changes,
    /// How the image was built, and why that way.
    pub builder: Option<BuilderChoice>,
    /// An instance's spec, but for its id, owner and host name.
    pub template: InstanceSpec,
    /// Values that must not be seen.
    secrets: Vec<String>,
}

/// What an instance plan is made from.
pub(crate) struct PlanInputs<'a> {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub spec: &'a AppSpec,
    pub component: ComponentRef<'a>,
    pub layers: Vec<PathBuf>,
    pub image: &'a ImageConfig,
    /// The component's variables at run time.
    pub variables: Vec<Binding>,
    pub changes: Changes,
    pub builder: Option<BuilderChoice>,
}

impl InstancePlan {
    pub(crate) fn new(inputs: PlanInputs<'_>) -> Self {
        let PlanInputs {
            app,
            deployment,
            component,
            image,
            ..
        } = inputs;
        let size = component.instance_size();
        let command = command(component, image);
        let secrets = inputs
            .variables
            .iter()
            .filter(|bound| bound.secret && bound.value.len() >= MASKED_CHARS_MIN);
        Self {
            app,
            deployment,
            component: component.name().to_owned(),
            kind: component.kind(),
            job: job(component, inputs.spec),
            count: component.instance_count(),
            size: SizeFacts {
                slug: size.slug.to_owned(),
                memory_bytes: size.memory_bytes,
                cpu_millis: size.cpu_millis,
            },
            readiness: readiness(component),
            liveness: liveness(component),
            probe_host: None,
            grace_period: grace_period(component),
            changes: inputs.changes,
            builder: inputs.builder,
            secrets: secrets.map(|bound| bound.value.clone()).collect(),
            template: InstanceSpec {
                id: InstanceId::from_uuid(uuid::Uuid::nil()),
                owner: InstanceOwner::Component {
                    app,
                    deployment,
                    component: String::new(),
                    ordinal: 0,
                },
                layers: inputs.layers,
                mounts: Vec::new(),
                argv: command.argv.clone(),
                env: environment(image, inputs.variables),
                working_dir: image.working_dir.clone().unwrap_or_else(|| "/".into()),
                user: image.user.clone(),
                hostname: String::new(),
                limits: Limits {
                    memory_bytes: size.memory_bytes,
                    cpu_millis: size.cpu_millis,
                    cpu_shares: CPU_SHARES_APPS,
                    pids: PIDS_MAX,
                    disk_bytes: Some(DISK_BYTES_MAX),
                },
                network: Network::App,
                stop_signal: stop_signal(image.stop_signal.as_deref()),
            },
            command,
        }
    }

    pub(crate) fn instance(&self, id: InstanceId, ordinal: u32) -> InstanceSpec {
        let owner = InstanceOwner::Component {
            app: self.app,
            deployment: self.deployment,
            component: self.component.clone(),
            ordinal,
        };
        InstanceSpec {
            id,
            owner,
            hostname: format!("{}-{ordinal}", self.component),
            ..self.template.clone()
        }
    }

    /// Who asks when its databases are probed.
    pub(crate) fn asker(&self) -> databases::Asker<'_> {
        databases::Asker {
            app: self.app,
            deployment: self.deployment,
            component: &self.component,
            kind: self.kind,
            variables: &self.template.env,
        }
    }

    /// The text without the values of secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "***")
        })
    }
}

fn job(component: ComponentRef<'_>, spec: &AppSpec) -> Option<JobFacts> {
    let ComponentRef::Job(job) = component else {
        return None;
    };
    let waits = |component: &ComponentRef<'_>| {
        matches!(component.kind(), ComponentKind::Service | ComponentKind::Worker)
            && job.kind() == JobKind::PreDeploy
    };
    Some(JobFacts {
        kind: job.kind(),
        time_limit_seconds: job.timeout_seconds(),
        blocks: spec
            .components()
            .filter(waits)
            .map(|component| component.name().to_owned())
            .collect(),
    })
}

/// The run command, else the image's `web` process, else its entry point and command.
fn command(component: ComponentRef<'_>, image: &ImageConfig) -> CommandFacts {
    let (argv, source) = match (component.run_command(), image.processes.get("web")) {
        (Some(text), _) if !text.trim().is_empty() => {
            (run_command(text, image), Some(CommandSource::RunCommand))
        }
        (_, Some(process)) => (by_shell(process), Some(CommandSource::Procfile)),
        _ => {
            let argv: Vec<String> = image.entrypoint.iter().chain(&image.command).cloned().collect();
            let source = (!argv.is_empty()).then_some(CommandSource::Image);
            (argv, source)
        }
    };
    CommandFacts {
        argv,
        source,
        working_dir: image.working_dir.clone(),
        user: image.user.clone(),
    }
}

/// Buildpack images run their command by a shell; others get it as words, as the original does.
fn run_command(text: &str, image: &ImageConfig) -> Vec<String> {
    if image.run_by_shell {
        return by_shell(text);
    }
    shlex::split(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

fn by_shell(text: &str) -> Vec<String> {
    ["bash", "-c", text].map(str::to_owned).to_vec()
}

fn environment(image: &ImageConfig, variables: Vec<Binding>) -> BTreeMap<String, String> {
    let mut env = image.env.clone();
    env.extend(variables.into_iter().map(|bound| (bound.key, bound.value)));
    env
}

fn readiness(component: ComponentRef<'_>) -> Option<ProbeDefinition> {
    match component {
        ComponentRef::Service(service) => Some(definition(&service.readiness())),
        _ => None,
    }
}

fn liveness(component: ComponentRef<'_>) -> Option<ProbeDefinition> {
    match component {
        ComponentRef::Service(service) => service.liveness().as_ref().map(definition),
        ComponentRef::Worker(worker) => worker.liveness().as_ref().map(definition),
        _ => None,
    }
}

fn definition(probe: &Probe) -> ProbeDefinition {
    ProbeDefinition {
        http_path: probe.http_path.clone(),
        port: probe.port,
        initial_delay_seconds: probe.initial_delay_seconds,
        period_seconds: probe.period_seconds,
        timeout_seconds: probe.timeout_seconds,
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
    }
}

fn grace_period(component: ComponentRef<'_>) -> Duration {
    let seconds = match component {
        ComponentRef::Service(service) => service.termination().grace_period_seconds(),
        ComponentRef::Worker(worker) => worker.termination().grace_period_seconds(),
        ComponentRef::Job(job) => job.termination().grace_period_seconds(),
        _ => 120,
    };
    Duration::from_secs(u64::from(seconds))
}

/// `SIGTERM`, `TERM` or a number; SIGTERM when it names none.
fn stop_signal(text: Option<&str>) -> i32 {
    const NAMES: [(&str, i32); 8] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
    ];
    let Some(text) = text else { return 15 };
    let name = text.trim_start_matches("SIG");
    text.parse()
        .ok()
        .or_else(|| Some(NAMES.iter().find(|(known, _)| *known == name)?.1))
        .unwrap_or(15)
}

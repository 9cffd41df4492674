//! One build from request to report. All branching and state of a build is here; the other files are its parts.

mod images;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{BuildFault, LeftOut, MemoryKill, MemoryRecord, StepFacts, ToolFinding};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    DockerfileEngine,
    buildah::{self, BuildCall},
    cgroup::BuildCgroup,
    cleanup,
    collect::{LastBuild, cache_of},
    config::{NetworkNamespace, StepNetwork},
    disk_watch::DiskWatch,
    kernel_log::KernelLog,
    layout::{Store, create_private},
    memory_watch::MemoryWatch,
    observer::BuildObserver,
    process,
    progress::Progress,
    request::{DockerfileEnd, DockerfileImage, DockerfileReport, DockerfileRequest},
    rewrite::rewrite,
    sources::{self, Sources},
    storage,
    supervise::{Ended, Stop, Supervisor, canceled},
};
use crate::api::BuildLog;

/// A build that is being carried out.
pub(super) struct Build<'a> {
    engine: &'a DockerfileEngine,
    request: &'a DockerfileRequest,
    log: Arc<dyn BuildLog>,
    cancel: watch::Receiver<bool>,
    deadline: Instant,
    observed: Observed,
}

/// What goes into the report whatever the end.
#[derive(Debug, Default)]
struct Observed {
    steps: Vec<StepFacts>,
    kills: Vec<MemoryKill>,
    peak_bytes: Option<u64>,
    findings: Vec<ToolFinding>,
    base_images: Vec<String>,
    left_out: Option<LeftOut>,
}

/// The files of one running build.
#[derive(Debug)]
struct BuildFiles {
    directory: PathBuf,
}

impl BuildFiles {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A fault of our own, with its causes for the platform's log.
pub(super) fn platform_fault(operation: &str, error: &dyn std::error::Error) -> BuildFault {
    BuildFault::Platform {
        operation: operation.to_owned(),
        error_chain: vec![cleanup::chain(error)],
    }
}

fn platform(operation: &str, error: &dyn std::error::Error) -> DockerfileEnd {
    DockerfileEnd::Failed(platform_fault(operation, error))
}

pub(super) async fn run(
    engine: &DockerfileEngine,
    request: &DockerfileRequest,
    log: Arc<dyn BuildLog>,
    cancel: watch::Receiver<bool>,
) -> DockerfileReport {
    let started_at = Timestamp::now();
    let mut build = Build {
        engine,
        request,
        log,
        cancel,
        deadline: Instant::now() + Duration::from_secs(request.limits.time_seconds),
        observed: Observed::default(),
    };
    let result = build.carry_out().await;
    DockerfileReport {
        steps: build.observed.steps,
        memory: MemoryRecord {
            limit_bytes: Some(request.limits.memory_bytes),
            peak_bytes: build.observed.peak_bytes,
            kills: build.observed.kills,
        },
        tools: engine.tools.clone(),
        findings: build.observed.findings,
        base_images: build.observed.base_images,
        left_out: build.observed.left_out,
        started_at,
        ended_at: Timestamp::now(),
        result,
    }
}

impl<'a> Build<'a> {
    async fn carry_out(&mut self) -> Result<DockerfileImage, DockerfileEnd> {
        let sources = self.load().await?;
        let arguments = self.arguments(&sources)?;
        let store = self
            .engine
            .layout
            .store(self.request.app, &self.request.component);
        let lock = self.engine.lock(&store.root);
        // Another build of the same component uses the store; waiting for it is part of this build's time.
        let _guard = tokio::select! {
            guard = lock.lock() => guard,
            () = sleep_until(self.deadline) => return Err(DockerfileEnd::TimedOut),
            () = canceled(&mut self.cancel) => return Err(DockerfileEnd::Canceled),
        };
        let files = self.prepare(&store, &sources).await?;
        let cgroup = self.engine.cgroup(self.request.build);
        let result = self
            .in_cgroup(&cgroup, &store, &files, &sources, &arguments)
            .await;
        self.observed.peak_bytes = cgroup.memory_peak();
        let left = self.clean_up(&cgroup, &store, &files).await;
        for text in left {
            tracing::warn!(build = %self.request.build, "left by a build: {text}");
        }
        result
    }

    async fn load(&self) -> Result<Sources, DockerfileEnd> {
        let request = self.request.clone();
        let architecture = self.engine.architecture;
        tokio::task::spawn_blocking(move || sources::load(&request, architecture))
            .await
            .map_err(|error| platform("reading the Dockerfile", &error))?
            .map_err(DockerfileEnd::Failed)
    }

    /// How each declared variable is handed over: never on the command line when it is secret.
    fn arguments(&self, sources: &Sources) -> Result<Arguments<'a>, DockerfileEnd> {
        let mut arguments = Arguments::default();
        for name in &sources.plan.declared_arguments {
            let Some((name, variable)) = self.request.variables.get_key_value(name) else {
                continue;
            };
            if !buildah::is_reserved(name) {
                arguments.by_environment.insert(name, &variable.value);
            } else if variable.secret {
                return Err(DockerfileEnd::Failed(BuildFault::Unsupported {
                    what: format!("the secret build variable {name} as ARG"),
                    reason: "a variable of this name steers the build tools themselves; rename it, or use \
                             `RUN --mount=type=secret`"
                        .to_owned(),
                }));
            } else {
                arguments.by_command_line.insert(name, &variable.value);
            }
        }
        Ok(arguments)
    }

    async fn prepare(&self, store: &Store, sources: &Sources) -> Result<BuildFiles, DockerfileEnd> {
        let failed = |error: std::io::Error| platform("preparing the build's directories", &error);
        store.create().map_err(failed)?;
        // buildah takes it for an additional image store, and refuses one that is not there. No base image may have been needed yet.
        self.engine.layout.shared().create().map_err(failed)?;
        let files = BuildFiles {
            directory: self.engine.layout.build(self.request.build),
        };
        cleanup::remove_path(&files.directory);
        create_private(&files.path("secrets")).map_err(failed)?;
        for (name, variable) in self
            .request
            .variables
            .iter()
            .filter(|(_, variable)| variable.secret)
        {
            buildah::write_private(&files.path("secrets").join(name), &variable.value).map_err(failed)?;
        }
        buildah::write_private(&files.path("ignore"), &sources.ignore_text).map_err(failed)?;
        // What an interrupted build left would count as this one's.
        cleanup::clean_store(&self.engine.buildah(store)).await;
        if self.request.force {
            cleanup::clear_cache_mounts(store);
        }
        Ok(files)
    }

    async fn in_cgroup(
        &mut self,
        cgroup: &BuildCgroup,
        store: &Store,
        files: &BuildFiles,
        sources: &Sources,
        arguments: &Arguments<'_>,
    ) -> Result<DockerfileImage, DockerfileEnd> {
        cleanup::remove_cgroup(cgroup).await;
        cgroup
            .create(&self.request.limits)
            .map_err(|error| platform("creating the build's control group", &error))?;
        let mut supervisor = Supervisor {
            memory: MemoryWatch::new(cgroup)
                .map_err(|error| platform("watching the build's memory", &error))?,
            kernel_log: KernelLog::open_at_end(),
            disk: None,
            deadline: self.deadline,
            grace_period: self.engine.config.grace_period,
            cancel: self.cancel.clone(),
            cgroup: cgroup.clone(),
        };
        for image in &sources.plan.images {
            self.ensure_image(&mut supervisor, &sources.plan.path, image)
                .await?;
        }
        supervisor.disk = Some(DiskWatch::new(
            store,
            self.request.limits.disk_bytes,
            self.engine.config.disk_free_floor_bytes,
        ));
        let namespace = self.enter_network().await?;
        let result = self
            .build(
                &mut supervisor,
                store,
                files,
                sources,
                arguments,
                namespace.as_ref(),
            )
            .await;
        if let (StepNetwork::Namespace(network), Some(_)) = (&self.engine.config.network, namespace) {
            cgroup
                .kill_all(Instant::now() + crate::dockerfile::supervise::LAST_RESORT)
                .await;
            network.leave(self.request.build).await;
        }
        result
    }

    async fn enter_network(&self) -> Result<Option<NetworkNamespace>, DockerfileEnd> {
        match &self.engine.config.network {
            StepNetwork::Namespace(network) => network
                .enter(self.request.build)
                .await
                .map(Some)
                .map_err(|error| platform("preparing the build's network", &error)),
            StepNetwork::None | StepNetwork::Host => Ok(None),
        }
    }

    async fn follow(
        &self,
        supervisor: &mut Supervisor,
        call: &buildah::Invocation,
        observer: &mut impl crate::dockerfile::supervise::Observer,
    ) -> Result<Ended, DockerfileEnd> {
        let running = process::start(call, Some(&supervisor.cgroup))
            .await
            .map_err(|error| platform("starting the image builder", &error))?;
        Ok(supervisor.follow(running, observer).await)
    }

    async fn build(
        &mut self,
        supervisor: &mut Supervisor,
        store: &Store,
        files: &BuildFiles,
        sources: &Sources,
        arguments: &Arguments<'_>,
        namespace: Option<&NetworkNamespace>,
    ) -> Result<DockerfileImage, DockerfileEnd> {
        let step_variables = buildah::declared_step_variables(&self.engine.config);
        let names: Vec<&str> = step_variables.keys().map(String::as_str).collect();
        let rewritten = rewrite(&sources.plan, &sources.text, &names);
        buildah::write_private(&files.path("Dockerfile"), &rewritten.text)
            .map_err(|error| platform("writing the build's Dockerfile", &error))?;
        let call = self.call(
            supervisor,
            store,
            files,
            sources,
            arguments,
            &step_variables,
            namespace,
        );
        let mut observer = BuildObserver::new(
            Progress::new(&sources.plan, &rewritten),
            Arc::clone(&self.log),
            self.request.limits.memory_bytes,
            sources.findings.clone(),
        );
        let before = storage::images(&store.root).unwrap_or_default();
        let before = before.into_iter().map(|image| image.id).collect();
        let ended = self.follow(supervisor, &call, &mut observer).await?;
        observer.settle_kills();
        let result = match ended.stop {
            Some(stop) => {
                if let (Stop::Disk(_), Some(step)) = (stop, observer.progress.current_mut()) {
                    step.disk_full = true;
                }
                Err(self.stopped(stop))
            }
            None => self.ended(&ended, &mut observer, &sources.plan.path),
        };
        self.observe(&observer);
        self.observed.base_images = observer.progress.base_images();
        if result.is_err() {
            self.observed.findings = observer.take_findings();
        }
        result?;
        let reason = observer.progress.why_left_out_of_image();
        self.observed.left_out = sources.findings.all_left_out(reason);
        let image = self.image(store, files)?;
        note_last_build(
            store,
            &before,
            &observer.progress.cached_images,
            &image.store_image,
        );
        Ok(image)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one call, each made elsewhere"
    )]
    fn call(
        &self,
        supervisor: &Supervisor,
        store: &Store,
        files: &BuildFiles,
        sources: &Sources,
        arguments: &Arguments<'_>,
        step_variables: &BTreeMap<String, String>,
        namespace: Option<&NetworkNamespace>,
    ) -> buildah::Invocation {
        let mut plain_arguments = arguments.by_command_line.clone();
        let mut environment_arguments = arguments.by_environment.clone();
        for (name, value) in step_variables {
            // A package index may be reached with a password; where the certificates are is no secret.
            let side = if buildah::is_reserved(name) {
                &mut plain_arguments
            } else {
                &mut environment_arguments
            };
            side.entry(name).or_insert(value);
        }
        let secrets = self
            .request
            .variables
            .iter()
            .filter(|(_, variable)| variable.secret);
        self.engine.buildah(store).build(&BuildCall {
            dockerfile: &files.path("Dockerfile"),
            context: &sources.context,
            ignore_file: &files.path("ignore"),
            image_id_file: &files.path("image-id"),
            runtime_state: &files.path("runtime"),
            cgroup: &supervisor.cgroup.step_path(),
            target: self.request.target.as_deref(),
            no_cache: self.request.force,
            network: namespace,
            arguments: environment_arguments,
            plain_arguments,
            secrets: secrets
                .map(|(name, _)| (name.as_str(), files.path("secrets").join(name)))
                .collect(),
            ca_bundle: self.engine.config.operator.ca_bundle.as_deref(),
        })
    }

    fn observe(&mut self, observer: &BuildObserver<'_>) {
        let now = Timestamp::now();
        let limit_bytes = self.request.limits.memory_bytes;
        let steps = &observer.progress.steps;
        let last = steps.len().saturating_sub(1);
        for (position, step) in steps.iter().enumerate() {
            let failed_or_stopped = position == last && step.termination.is_none_or(|t| !t.is_success());
            let counts = step.is_run() || (failed_or_stopped && !step.kills.is_empty());
            if counts {
                self.observed.steps.push(step.facts(limit_bytes, now));
            }
        }
        self.observed.kills = steps
            .iter()
            .flat_map(|step| step.kills.iter().cloned())
            .chain(observer.kills_between.iter().cloned())
            .collect();
        self.observed.kills.sort_by_key(|kill| kill.at);
    }

    fn image(&self, store: &Store, files: &BuildFiles) -> Result<DockerfileImage, DockerfileEnd> {
        let failed = |error: &dyn std::error::Error| {
            DockerfileEnd::Failed(BuildFault::ExportFailed {
                message: cleanup::chain(error),
            })
        };
        let text = fs::read_to_string(files.path("image-id")).map_err(|error| failed(&error))?;
        let id = text.trim().trim_start_matches("sha256:").to_owned();
        let shared = self.engine.layout.shared();
        let mut roots: Vec<&Path> = vec![&store.root];
        roots.push(&shared.root);
        // An image without an instruction of its own is the base image itself, and lies in the shared store.
        let home = if storage::contains(&store.root, &id) {
            &store.root
        } else {
            &shared.root
        };
        roots.sort_by_key(|root| *root != home.as_path());
        let layers = storage::layer_directories(&roots, &id).map_err(|error| failed(&error))?;
        let config = storage::config(home, &id).map_err(|error| failed(&error))?;
        Ok(DockerfileImage {
            store_image: id,
            layers,
            config: config.into_image_config(),
        })
    }

    async fn clean_up(&self, cgroup: &BuildCgroup, store: &Store, files: &BuildFiles) -> Vec<String> {
        let mut left = cleanup::remove_cgroup(cgroup).await;
        left.extend(cleanup::clean_store(&self.engine.buildah(store)).await);
        cleanup::unmount_below(&files.directory);
        cleanup::remove_path(&files.directory);
        left
    }
}

/// So that collecting knows the step cache. Without the note the cache is lost, not the build.
fn note_last_build(store: &Store, before: &BTreeSet<String>, cached: &[String], image: &str) {
    let after = storage::images(&store.root).unwrap_or_default();
    let last = LastBuild {
        image: image.to_owned(),
        cache: cache_of(before, after, cached),
    };
    if let Err(error) = last.write(&store.root) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the step cache could not be noted"
        );
    }
}

/// Declared variables by the way they are handed over.
#[derive(Debug, Default)]
struct Arguments<'a> {
    by_environment: BTreeMap<&'a str, &'a str>,
    by_command_line: BTreeMap<&'a str, &'a str>,
}

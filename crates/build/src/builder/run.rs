//! One build, from the request to the report.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{BuildFault, BuildOutcome, BuilderChoice};
use mainstay_images::{
    stack::{self, StackImage},
    store::StoreError,
};
use mainstay_spec::kind::ComponentKind;
use tokio::sync::watch;

use super::{Inner, describe, files, record::Record};
use crate::{
    Artifact, BuildLog, BuildOutput, BuildReport, BuildRequest, Source,
    execute::{BuildEnd, Clock, Interruption, Removal, Workspace},
    index::IndexEntry,
    keys::BuildKey,
    plan::{self, Chosen, PlanInputs, Strategy},
    source::{SourceDir, SourceTree, TreeIdentity, platform_fault},
    transcript::{Mask, Transcript, seconds},
};

/// A build under way.
pub(super) struct Run<'a> {
    pub(super) inner: &'a Inner,
    pub(super) request: BuildRequest,
    pub(super) source_dir: SourceDir,
    pub(super) transcript: Transcript,
    pub(super) clock: Clock,
    pub(super) record: Record,
    /// Of its last container.
    pub(super) removal: Removal,
}

/// What a builder made, before it is recorded.
pub(super) struct Made {
    pub(super) artifact: Artifact,
    /// Set when the build read files outside of its source directory.
    pub(super) reads_outside: bool,
}

/// How a build ended well.
enum Success {
    Built(BuildOutput),
    Reused(Box<IndexEntry>),
}

/// The report, and what of the build may still be on its way out.
pub(super) async fn run(
    inner: &Inner,
    request: BuildRequest,
    log: Arc<dyn BuildLog>,
    cancel: watch::Receiver<bool>,
) -> (BuildReport, Removal) {
    let clock = Clock::start(request.limits.time_seconds, cancel);
    let transcript = Transcript::new(log, Mask::new(secrets(&request)));
    let record = Record::begin(&request, &clock);
    let mut run = Run {
        inner,
        source_dir: SourceDir::root(),
        transcript,
        clock,
        record,
        request,
        removal: Removal::default(),
    };
    let removal = run.removal.clone();
    let result = run.build().await;
    if result.is_err() {
        removal.done().await;
    }
    (run.finish(result), removal)
}

/// Secret variables, and what stands in a clone URL.
fn secrets(request: &BuildRequest) -> Vec<String> {
    let mut secrets: Vec<String> = request
        .variables
        .values()
        .filter(|variable| variable.secret)
        .map(|variable| variable.value.clone())
        .collect();
    if let Source::Git { url, .. } = &request.source.source
        && let Ok(url) = url::Url::parse(url)
    {
        secrets.extend(url.password().map(str::to_owned));
    }
    secrets
}

impl Run<'_> {
    async fn build(&mut self) -> Result<Success, BuildEnd> {
        self.source_dir = SourceDir::parse(&self.request.source_dir)?;
        self.record.facts.source = Some(files::source_facts(&self.request, &self.source_dir));
        if matches!(self.request.source.source, Source::Image { .. }) {
            let made = self.with_image().await?;
            return Ok(Success::Built(BuildOutput {
                artifact: made.artifact,
                key: self.request.source.revision.clone(),
                revision: self.request.source.revision.clone(),
            }));
        }
        let stack = self.stack().await?;
        let identity = self.identity().await?;
        let key = BuildKey::of(&self.request, &self.source_dir, &identity.source_dir, &stack.id);
        let lock = self.inner.key_lock(&key.hex);
        let _only_one = self.interruptible(async { Ok(lock.lock_owned().await) }).await?;
        if let Some(entry) = self.known(&key, &identity) {
            return Ok(Success::Reused(Box::new(entry)));
        }
        let made = self.make(&stack, &key).await?;
        let output = BuildOutput {
            artifact: made.artifact,
            key: key.hex.clone(),
            revision: self.request.source.revision.clone(),
        };
        self.keep(&key, &output, made.reads_outside.then_some(identity.repository));
        Ok(Success::Built(output))
    }

    async fn make(&mut self, stack: &StackImage, key: &BuildKey) -> Result<Made, BuildEnd> {
        let workspace = self.fetch().await?;
        let chosen = self.choose(&workspace)?;
        self.show_variables();
        match chosen.strategy {
            Strategy::Dockerfile => self.with_dockerfile(&chosen.dockerfile, workspace, key).await,
            Strategy::Buildpack(buildpack) => self.with_buildpack(buildpack, workspace, stack, key).await,
        }
    }

    /// The stack, made on first use with its progress in the log.
    async fn stack(&mut self) -> Result<StackImage, BuildEnd> {
        let (store, settings) = (&self.inner.store, &self.inner.settings);
        let kept = stack::kept(store, settings).map_err(|error| store_fault("reading the stack", &error))?;
        if let Some(stack) = kept {
            return Ok(stack);
        }
        self.transcript.section("stack");
        self.transcript
            .step("preparing the base image; this is done once");
        let progress = self.transcript.clone();
        let made = stack::ensure(store, settings, move |line| progress.detail(line));
        let work = async {
            made.await
                .map_err(|error| platform_fault("preparing the base image", &error))
        };
        self.platform_step("prepare the base image", work).await
    }

    async fn identity(&mut self) -> Result<TreeIdentity, BuildEnd> {
        self.transcript.section("source");
        let facts = self.record.facts.source.clone();
        if let Some(facts) = &facts {
            let branch = facts
                .branch
                .as_ref()
                .map_or(String::new(), |branch| format!(", branch {branch}"));
            self.transcript
                .step(&format!("fetching {}{branch}", facts.origin));
        }
        let (inner, request, source_dir) = (self.inner, self.request.clone(), self.source_dir.clone());
        let work = async { files::identity(inner, &request, &source_dir).await };
        let identity = self.platform_step("fetch the source", work).await?;
        if let Some(commit) = facts.and_then(|facts| facts.commit) {
            self.transcript.done(&format!("commit {commit}"));
        }
        Ok(identity)
    }

    /// An earlier build of the same, unless this one is forced.
    fn known(&self, key: &BuildKey, identity: &TreeIdentity) -> Option<IndexEntry> {
        if self.request.force {
            self.transcript
                .detail("the build is forced: nothing of earlier builds is used");
            return None;
        }
        let store = &self.inner.store;
        let entry = self.inner.index.find(store, &key.hex, &identity.repository)?;
        // So that a collection which began with this build leaves it alone until it is pinned.
        store.mark_image_used(entry.output.artifact.image());
        Some(entry)
    }

    async fn fetch(&mut self) -> Result<Workspace, BuildEnd> {
        let workspace = Workspace::create(&self.inner.store, self.source_dir.clone())
            .map_err(|error| store_fault("preparing the workspace", &error))?;
        let (inner, request) = (self.inner, self.request.clone());
        let work = async {
            let submodules = files::write(inner, &request, &workspace).await?;
            Ok((workspace, submodules))
        };
        let (workspace, submodules) = self.platform_step("check out the source", work).await?;
        for submodule in submodules {
            self.transcript.detail(&format!("submodule {submodule}"));
        }
        self.transcript.done(&format!(
            "source directory {}: {}",
            self.source_dir,
            workspace.app_directory()
        ));
        Ok(workspace)
    }

    fn choose(&mut self, workspace: &Workspace) -> Result<Chosen, BuildEnd> {
        self.transcript.section("detection");
        let (repository, tree) = self.trees(workspace)?;
        let app_directory = workspace.app_directory();
        let source_dir = self.source_dir.to_string();
        let inputs = inputs(&self.request, &source_dir, &app_directory);
        let chosen = plan::choose(&repository, &tree, &inputs);
        let verdicts = match &chosen {
            Ok(chosen) => &chosen.verdicts,
            Err(refusal) => &refusal.verdicts,
        };
        for verdict in verdicts {
            let mark = if verdict.accepted { "yes" } else { "no " };
            self.transcript
                .detail(&format!("{mark} {}: {}", verdict.builder, verdict.reason));
        }
        self.record.facts.detection.clone_from(verdicts);
        let mut chosen = chosen.map_err(|refusal| BuildEnd::Failed(refusal.fault))?;
        let by_dockerfile = matches!(chosen.strategy, Strategy::Dockerfile);
        chosen.choice.doubts = plan::doubts(&repository, &self.request.component, &inputs, by_dockerfile);
        self.transcript.done(&format!(
            "building with {}: {}",
            chosen.choice.builder, chosen.choice.reason
        ));
        self.record.facts.builder = Some(chosen.choice.clone());
        Ok(chosen)
    }

    /// The whole source, and the source directory.
    pub(super) fn trees(&self, workspace: &Workspace) -> Result<(SourceTree, SourceTree), BuildEnd> {
        let open = || -> std::io::Result<_> {
            let repository = SourceTree::open(&workspace.root())?;
            let tree = repository.below(self.source_dir.as_str())?;
            Ok((repository, tree))
        };
        open().map_err(|error| BuildEnd::Failed(platform_fault("reading the source", &error)))
    }

    pub(super) fn is_static_site(&self) -> bool {
        self.request.kind == ComponentKind::StaticSite
    }

    fn show_variables(&self) {
        let names: Vec<&str> = self.request.variables.keys().map(String::as_str).collect();
        if !names.is_empty() {
            self.transcript
                .detail(&format!("variables of the build: {}", names.join(" ")));
        }
    }

    /// Work of ours: counted, timed, given up when the time is over or the build is canceled.
    pub(super) async fn platform_step<T>(
        &mut self,
        text: &str,
        work: impl Future<Output = Result<T, BuildFault>>,
    ) -> Result<T, BuildEnd> {
        self.record.platform_step(text);
        let result = self.interruptible(work).await;
        self.record.platform_step_done(result.is_ok());
        result
    }

    async fn interruptible<T>(
        &self,
        work: impl Future<Output = Result<T, BuildFault>>,
    ) -> Result<T, BuildEnd> {
        tokio::select! {
            biased;
            result = work => result.map_err(BuildEnd::Failed),
            interruption = self.clock.interrupted() => Err(match interruption {
                Interruption::TimedOut => BuildEnd::TimedOut,
                Interruption::Canceled => BuildEnd::Canceled,
            }),
        }
    }

    /// Records the build, so that the same one need not be done again; a record that cannot be written costs only that.
    fn keep(&self, key: &BuildKey, output: &BuildOutput, whole_source: Option<String>) {
        let facts = &self.record.facts;
        let builder = facts
            .builder
            .clone()
            .unwrap_or_else(|| BuilderChoice::new("", ""));
        let entry = IndexEntry {
            output: output.clone(),
            deployment: self.request.deployment.to_string(),
            commit: facts.source.as_ref().and_then(|source| source.commit.clone()),
            built_at: Timestamp::now(),
            builder,
            tools: facts.tools.clone(),
            key_parts: key.parts.clone(),
            whole_source,
        };
        if let Err(error) = self.inner.index.keep(&key.hex, &entry) {
            tracing::warn!(%error, "a build could not be noted for reuse");
        }
    }

    fn finish(mut self, result: Result<Success, BuildEnd>) -> BuildReport {
        let (outcome, output) = match result {
            Ok(Success::Built(output)) => (BuildOutcome::Succeeded, Some(output)),
            Ok(Success::Reused(entry)) => {
                let output = self.reuse(&entry);
                (BuildOutcome::Reused(entry.reused()), Some(output))
            }
            Err(end) => (self.ended(end), None),
        };
        self.transcript.finish();
        self.mask_findings();
        let facts = self.record.finish(outcome);
        let took = seconds(std::time::Duration::from_millis(
            u64::try_from(facts.ended_at.duration_since(facts.started_at).as_millis()).unwrap_or(0),
        ));
        match output {
            Some(_) => self.transcript.done(&format!("build complete ({took})")),
            None => self.transcript.failed(&format!("build failed ({took})")),
        }
        BuildReport { facts, output }
    }

    /// Findings quote the tools' lines, and travel further than the log.
    fn mask_findings(&mut self) {
        for finding in &mut self.record.facts.findings {
            finding.line = self.transcript.masked(&finding.line);
            finding.subject = finding
                .subject
                .take()
                .map(|subject| self.transcript.masked(&subject));
        }
    }

    fn reuse(&mut self, entry: &IndexEntry) -> BuildOutput {
        let commit = entry.commit.as_deref().unwrap_or("the same upload");
        self.transcript.done(&format!(
            "nothing that the build depends on has changed: using the build of {commit} (deployment {}, {})",
            entry.deployment, entry.built_at
        ));
        self.record.facts.builder = Some(entry.builder.clone());
        self.record.facts.tools.clone_from(&entry.tools);
        BuildOutput {
            revision: self.request.source.revision.clone(),
            ..entry.output.clone()
        }
    }

    fn ended(&self, end: BuildEnd) -> BuildOutcome {
        match &end {
            BuildEnd::Failed(fault) => {
                if let BuildFault::Platform {
                    operation,
                    error_chain,
                } = fault
                {
                    tracing::error!(build = %self.request.build, %operation, ?error_chain, "a build could not be carried out");
                }
                self.transcript.failed(&describe::fault(fault));
            }
            BuildEnd::TimedOut => self.transcript.failed(&format!(
                "the time limit of {} s is over",
                self.clock.limit_seconds
            )),
            BuildEnd::Canceled => self.transcript.failed("the build was canceled"),
            BuildEnd::StepFailed => {}
        }
        end.into()
    }
}

/// What detectors and buildpacks may know.
pub(super) fn inputs<'a>(
    request: &'a BuildRequest,
    source_dir: &'a str,
    app_directory: &'a str,
) -> PlanInputs<'a> {
    PlanInputs {
        kind: request.kind,
        source_dir,
        app_directory,
        dockerfile_path: request.dockerfile_path.as_deref(),
        environment_slug: request.environment_slug.as_deref(),
        build_command: request.build_command.as_deref(),
        output_dir: request.output_dir.as_deref(),
        variables: &request.variables,
    }
}

/// A full disk is the build's matter, everything else the platform's.
pub(super) fn store_fault(operation: &str, error: &StoreError) -> BuildFault {
    if error.is_disk_full() {
        BuildFault::ExportFailed {
            message: format!("{operation}: no space left on the disk"),
        }
    } else {
        platform_fault(operation, error)
    }
}

/// The component's own variables with their values.
pub(super) fn own_values(request: &BuildRequest) -> BTreeMap<String, String> {
    let value = |(name, variable): (&String, &crate::BuildVariable)| (name.clone(), variable.value.clone());
    request.variables.iter().map(value).collect()
}

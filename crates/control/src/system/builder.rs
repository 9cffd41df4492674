//! A builder that gives every component the same image, or what its `build_command` says instead.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use mainstay_build::{
    Artifact, BuildLog, BuildOutput, BuildReport, BuildRequest, Builder, BuilderError, CollectReport,
    KeepPolicy, ResolvedSource, Source,
};
use mainstay_diagnosis::facts::{BuildFacts, BuildFault, BuildOutcome, MemoryRecord};
use mainstay_images::record::ImageId;
use mainstay_spec::{
    ids::{AppId, BuildId},
    kind::ComponentKind,
};
use tokio::sync::watch;

use super::calls::{Calls, Outcome};

/// A `build_command` that fails.
pub(super) const FAILS: &str = "fail";
/// A `build_command` that goes on for a while.
pub(super) const TAKES_LONG: &str = "take long";
/// A `build_command` that does not end, whoever asks it to.
pub(super) const NEVER_ENDS: &str = "never end";
const LONG: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct ScriptedBuilder {
    pub(super) calls: Calls,
    pub(super) image: ImageId,
    /// Of static sites.
    pub(super) files: std::path::PathBuf,
}

impl ScriptedBuilder {
    fn output(&self, request: &BuildRequest) -> BuildOutput {
        let image = self.image.clone();
        let artifact = match request.kind {
            ComponentKind::StaticSite => Artifact::StaticFiles {
                image,
                path: self.files.clone(),
            },
            _ => Artifact::Image { image },
        };
        BuildOutput {
            artifact,
            key: "key".to_owned(),
            revision: request.source.revision.clone(),
        }
    }

    async fn outcome(&self, request: &BuildRequest, mut cancel: watch::Receiver<bool>) -> BuildOutcome {
        match request.build_command.as_deref() {
            Some(FAILS) => return BuildOutcome::Failed(fault("the script says so")),
            Some(TAKES_LONG) => tokio::select! {
                () = tokio::time::sleep(LONG) => {}
                _ = cancel.wait_for(|canceled| *canceled) => return BuildOutcome::Canceled,
            },
            Some(NEVER_ENDS) => return std::future::pending().await,
            _ => {}
        }
        match self.calls.around("build", || ()).await {
            Outcome::Done(()) => BuildOutcome::Succeeded,
            Outcome::Failed => BuildOutcome::Failed(fault("injected")),
        }
    }
}

fn fault(reason: &str) -> BuildFault {
    BuildFault::Unsupported {
        what: "the build".to_owned(),
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl Builder for ScriptedBuilder {
    async fn resolve(&self, source: &Source) -> Result<ResolvedSource, BuildFault> {
        let resolved = || ResolvedSource {
            source: source.clone(),
            revision: "0123456789".repeat(4),
        };
        match self.calls.around("resolve", resolved).await {
            Outcome::Done(resolved) => Ok(resolved),
            Outcome::Failed => Err(fault("injected")),
        }
    }

    async fn build(
        &self,
        request: BuildRequest,
        _log: Arc<dyn BuildLog>,
        cancel: watch::Receiver<bool>,
    ) -> BuildReport {
        let started_at = Timestamp::now();
        let outcome = self.outcome(&request, cancel).await;
        BuildReport {
            output: (outcome == BuildOutcome::Succeeded).then(|| self.output(&request)),
            facts: BuildFacts {
                source: None,
                builder: None,
                detection: Vec::new(),
                tools: Vec::new(),
                version_reasons: Vec::new(),
                run_time_variables: Vec::new(),
                steps: Vec::new(),
                memory: MemoryRecord::default(),
                started_at,
                ended_at: Timestamp::now(),
                time_limit_seconds: 3600,
                findings: Vec::new(),
                variables: Vec::new(),
                outcome,
            },
        }
    }

    async fn release(&self, _build: BuildId) {
        // It cannot fail; the server may be killed at it.
        let _: Outcome<()> = self.calls.around("release", || ()).await;
    }

    async fn sweep(&self) -> Vec<String> {
        Vec::new()
    }

    async fn collect(&self, _policy: &KeepPolicy) -> Result<CollectReport, BuilderError> {
        Ok(CollectReport::default())
    }

    async fn remove_app(&self, app: AppId, _sources: &[Source]) -> Result<(), BuilderError> {
        match self.calls.around("remove_app", || ()).await {
            Outcome::Done(()) => Ok(()),
            Outcome::Failed => Err(BuilderError::Building { app }),
        }
    }
}

//! Base images of a build: looked up, pulled when missing, checked for this node.

use std::{path::PathBuf, sync::Arc};

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::registry;
use mainstay_shim::log::LogSource;
use tokio::time::{sleep, sleep_until};

use super::{Build, platform};
use crate::{
    apart::apart,
    dockerfile::{
        base_image,
        layout::Store,
        observer::PullObserver,
        preflight::ImageUse,
        request::DockerfileEnd,
        supervise::{Supervisor, canceled},
    },
};

impl Build<'_> {
    /// Makes sure that the image is in the shared store, for this node's architecture.
    pub(super) async fn ensure_image(
        &mut self,
        supervisor: &mut Supervisor,
        path: &str,
        image: &ImageUse,
    ) -> Result<(), DockerfileEnd> {
        let shared = self.engine.layout.shared();
        let candidates = base_image::candidates(&image.reference, &self.engine.config.default_registry);
        let remote = candidates.last().cloned().unwrap_or_default();
        let lock = self.engine.lock(&PathBuf::from(&remote));
        let _guard = lock.lock().await;
        let present = base_image::find(&shared.root, &candidates);
        let is_local = present
            .as_ref()
            .is_some_and(|found| found.name.starts_with("localhost/"));
        if present.is_none() || (self.request.force && !is_local) {
            let pulled = self.pull(supervisor, &shared, path, image, &remote).await;
            if let Err(end) = pulled {
                let is_failure = matches!(end, DockerfileEnd::Failed(_));
                if present.is_none() || !is_failure {
                    return Err(end);
                }
                let text = format!("{remote} could not be refreshed; the copy that is here is used");
                self.log.line(LogSource::Platform, &text);
            }
        }
        let found = base_image::find(&shared.root, &candidates).ok_or_else(|| {
            DockerfileEnd::Failed(BuildFault::Platform {
                operation: format!("looking up the pulled image {remote}"),
                error_chain: Vec::new(),
            })
        })?;
        if found.architecture.is_empty() || found.architecture == self.engine.architecture {
            return Ok(());
        }
        Err(DockerfileEnd::Failed(BuildFault::ImageArchitecture {
            reference: image.reference.clone(),
            available: vec![found.architecture],
            node: self.engine.architecture.to_owned(),
        }))
    }

    async fn pull(
        &mut self,
        supervisor: &mut Supervisor,
        shared: &Store,
        path: &str,
        image: &ImageUse,
        remote: &str,
    ) -> Result<(), DockerfileEnd> {
        shared
            .create()
            .map_err(|error| platform("preparing the store of base images", &error))?;
        let buildah = self.engine.buildah(shared);
        let host = remote.split('/').next().unwrap_or_default();
        let plain = self.engine.config.operator.registries.speaks_http(host);
        let call = buildah.pull(remote, self.request.force, plain);
        for attempt in 1..=base_image::PULL_ATTEMPTS {
            let text = format!(
                "pulling {remote} (attempt {attempt} of {})",
                base_image::PULL_ATTEMPTS
            );
            self.log.line(LogSource::Platform, &text);
            let failure = if let Some(failure) = self.rate_limit(remote).await? {
                failure
            } else {
                let mut observer = PullObserver {
                    log: Arc::clone(&self.log),
                    kills: 0,
                };
                let ended = self.follow(supervisor, &call, &mut observer).await?;
                match ended.stop {
                    Some(stop) => return Err(self.stopped(stop)),
                    None if ended.status.is_some_and(|status| status.success()) => return Ok(()),
                    None => base_image::pull_failure(&ended.stderr_tail),
                }
            };
            let is_last = attempt == base_image::PULL_ATTEMPTS || !failure.retry;
            if is_last {
                let host = base_image::registry_host(remote);
                let node = self.engine.architecture;
                return Err(DockerfileEnd::Failed(base_image::fault(
                    path, image, failure, attempt, host, node,
                )));
            }
            tokio::select! {
                () = sleep(self.engine.config.pull_retry_delay * attempt) => {}
                () = sleep_until(self.deadline) => return Err(DockerfileEnd::TimedOut),
                () = canceled(&mut self.cancel) => return Err(DockerfileEnd::Canceled),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Asks before buildah does: told that there were too many pulls, it waits in silence for as long as the registry says, up to a minute
    /// five times over. Every other refusal is its own to tell.
    async fn rate_limit(&mut self, remote: &str) -> Result<Option<base_image::PullFailure>, DockerfileEnd> {
        let (settings, reference) = (self.engine.config.operator.clone(), remote.to_owned());
        let question = apart(async move || registry::digest(&settings, &reference, None).await);
        tokio::select! {
            answer = question => Ok(match answer {
                Err(BuildFault::BaseImageNotPullable { status: Some(429), message, .. }) => {
                    Some(base_image::PullFailure::rate_limit(message))
                }
                _ => None,
            }),
            () = sleep_until(self.deadline) => Err(DockerfileEnd::TimedOut),
            () = canceled(&mut self.cancel) => Err(DockerfileEnd::Canceled),
        }
    }
}

//! A build with a Dockerfile: carried out by the Dockerfile engine, recorded like any other.

use jiff::Timestamp;
use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::{record::ImageRecord, store::StoreError, tree::LayerTree};

use super::run::{Made, Run, store_fault};
use crate::{
    Artifact, BuildLimits, assemble,
    dockerfile::{DockerfileEnd, DockerfileImage, DockerfileRequest},
    execute::{BuildEnd, Workspace},
    keys::BuildKey,
    source::platform_fault,
};

impl Run<'_> {
    pub(super) async fn with_dockerfile(
        &mut self,
        dockerfile: &str,
        workspace: Workspace,
        key: &BuildKey,
    ) -> Result<Made, BuildEnd> {
        let Some(engine) = self.inner.dockerfile.clone() else {
            return Err(BuildEnd::Failed(BuildFault::Unsupported {
                what: format!("the Dockerfile {dockerfile}"),
                reason: "this installation has no builder for Dockerfiles".to_owned(),
            }));
        };
        self.transcript.section("build");
        let request = self.dockerfile_request(dockerfile, &workspace);
        let report = engine
            .build(request, self.transcript.as_log(), self.clock.cancel())
            .await;
        self.record.facts.steps.extend(report.steps);
        self.record.facts.memory = report.memory;
        self.record.facts.tools = report.tools;
        self.record.facts.findings = report.findings;
        self.record.facts.version_reasons = report
            .base_images
            .into_iter()
            .map(|image| ("base image".to_owned(), image))
            .collect();
        if let Some(builder) = &mut self.record.facts.builder {
            builder.left_out = report.left_out;
        }
        let image = report.result.map_err(end_of)?;
        let artifact = self.keep_dockerfile(image, key).await?;
        Ok(Made {
            artifact,
            // The context is all that a Dockerfile sees, but its own place may be anywhere in the source.
            reads_outside: !self.source_dir.is_root(),
        })
    }

    fn dockerfile_request(&self, dockerfile: &str, workspace: &Workspace) -> DockerfileRequest {
        let request = &self.request;
        DockerfileRequest {
            build: request.build,
            app: request.app,
            component: request.component.clone(),
            source_root: workspace.root(),
            source_dir: self.source_dir.as_str().to_owned(),
            dockerfile_path: Some(dockerfile.to_owned()),
            target: None,
            variables: request.variables.clone(),
            force: request.force,
            limits: BuildLimits {
                time_seconds: self.clock.seconds_left(),
                ..request.limits
            },
        }
    }

    async fn keep_dockerfile(
        &mut self,
        image: DockerfileImage,
        key: &BuildKey,
    ) -> Result<Artifact, BuildEnd> {
        self.transcript.section("result");
        if self.is_static_site() {
            return self.keep_files_of(image, key).await;
        }
        let store = &self.inner.store;
        let owner = format!("buildah app {}", self.request.app);
        let layers: Result<Vec<_>, StoreError> = image
            .layers
            .iter()
            .map(|path| store.adopt_layer(path, &owner, None))
            .collect();
        let layers = layers.map_err(|error| store_fault("keeping the image", &error))?;
        let record = ImageRecord {
            id: store.new_image_id(),
            layers,
            config: image.config,
            created_at: Timestamp::now(),
            origin: self.origin(key),
            digest: None,
        };
        self.put(&record)
    }

    /// A static site's files are copied out of the image, from `output_dir` or the first usual directory below its working directory.
    async fn keep_files_of(&mut self, image: DockerfileImage, key: &BuildKey) -> Result<Artifact, BuildEnd> {
        let candidates = match &self.request.output_dir {
            Some(directory) => vec![format!("/{}", directory.trim_matches('/'))],
            None => usual_directories(image.config.working_dir.as_deref().unwrap_or("/")),
        };
        let store = self.inner.store.clone();
        let looked_for = candidates.join(", ");
        let copied = tokio::task::spawn_blocking(move || {
            let tree = LayerTree::new(&image.layers);
            for directory in candidates {
                let draft = store.begin_layer()?;
                if assemble::files_of_image(&tree, &directory, &draft)? {
                    return draft.commit(None).map(Ok);
                }
            }
            Ok(Err(assemble::sites_in_image(&image.layers)))
        });
        let work = async {
            let copied = copied
                .await
                .map_err(|error| platform_fault("keeping the files", &error))?;
            copied.map_err(|error| store_fault("keeping the files", &error))
        };
        match self.platform_step("keep the files", work).await? {
            Ok(layer) => self.keep_files(layer, key),
            Err(written) => Err(BuildEnd::Failed(BuildFault::OutputDirMissing {
                output_dir: looked_for,
                written,
            })),
        }
    }
}

fn usual_directories(working_dir: &str) -> Vec<String> {
    let base = working_dir.trim_end_matches('/');
    crate::buildpacks::USUAL_OUTPUT
        .iter()
        .map(|name| format!("{base}/{name}"))
        .collect()
}

fn end_of(end: DockerfileEnd) -> BuildEnd {
    match end {
        DockerfileEnd::StepFailed => BuildEnd::StepFailed,
        DockerfileEnd::TimedOut => BuildEnd::TimedOut,
        DockerfileEnd::Canceled => BuildEnd::Canceled,
        DockerfileEnd::Failed(fault) => BuildEnd::Failed(fault),
    }
}

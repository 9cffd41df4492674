//! What is kept of a build: an image, or a static site's files.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::{
    record::{ImageConfig, ImageRecord, LayerId},
    stack::StackImage,
};
use mainstay_shim::log::LogSource;

use super::{
    buildpack::Site,
    run::{Run, store_fault},
};
use crate::{
    Artifact,
    assemble::{self, ImageParts, KnownDirectories, OutputChoice},
    execute::{BuildEnd, Workspace},
    keys::BuildKey,
    plan::{BuildPlan, StaticOutput},
    source::{EntryKind, SourceTree, platform_fault},
    toolchain::ResolvedTools,
};

impl Run<'_> {
    pub(super) async fn assemble(
        &mut self,
        site: Site,
        stack: &StackImage,
        tools: &ResolvedTools,
        before: Option<KnownDirectories>,
        key: &BuildKey,
    ) -> Result<Artifact, BuildEnd> {
        self.transcript.section("result");
        match (site.plan.static_output.clone(), before) {
            (Some(output), Some(before)) => self.keep_static(site, &output, before, key).await,
            _ => self.keep_image(site, stack, tools, key).await,
        }
    }

    async fn keep_image(
        &mut self,
        site: Site,
        stack: &StackImage,
        tools: &ResolvedTools,
        key: &BuildKey,
    ) -> Result<Artifact, BuildEnd> {
        let (plan, workspace, dependencies) = (site.plan, site.workspace, site.dependencies);
        let processes = assemble::processes(&plan, &workspace.app());
        let app_directory = workspace.app_directory();
        let programs = self.programs(&plan, &workspace);
        self.show_processes(&plan, &processes, programs);
        let kept = tokio::task::spawn_blocking(move || {
            let mut layers = dependencies.into_layers()?;
            layers.push(workspace.into_layer()?);
            Ok(layers)
        });
        let work = async {
            let kept = kept
                .await
                .map_err(|error| platform_fault("keeping the image", &error))?;
            kept.map_err(|error| store_fault("keeping the image", &error))
        };
        let layers = self.platform_step("keep the image", work).await?;
        let record = assemble::image_record(
            &self.inner.store,
            ImageParts {
                stack,
                plan: &plan,
                tools,
                layers,
                app_directory: &app_directory,
                processes,
                origin: self.origin(key),
            },
        );
        self.put(&record)
    }

    pub(super) fn put(&self, record: &ImageRecord) -> Result<Artifact, BuildEnd> {
        let image = record.id.clone();
        self.inner
            .store
            .put_image(record)
            .map_err(|error| store_fault("keeping the image", &error))?;
        self.transcript
            .done(&format!("image {image} with {} layers", record.layers.len()));
        Ok(Artifact::Image { image })
    }

    /// Those of which none could be chosen, and the directories of their sources.
    fn programs(&self, plan: &BuildPlan, workspace: &Workspace) -> Vec<(String, String)> {
        let made = assemble::several_programs(plan, &workspace.app());
        if made.is_empty() {
            return Vec::new();
        }
        let Ok((_, tree)) = self.trees(workspace) else {
            return Vec::new();
        };
        let directory = |path: &str| main_package(&tree, path.rsplit('/').next().unwrap_or(path));
        let named = made.into_iter().map(|path| {
            let directory = directory(&path).unwrap_or_else(|| ".".to_owned());
            (path, directory)
        });
        named.collect()
    }

    fn show_processes(
        &mut self,
        plan: &BuildPlan,
        processes: &BTreeMap<String, String>,
        programs: Vec<(String, String)>,
    ) {
        for (name, command) in processes {
            self.transcript.detail(&format!("process {name}: {command}"));
        }
        if processes.is_empty() && self.request.run_command.is_none() {
            let looked_for = &plan.processes.looked_for;
            self.transcript.detail(&format!(
                "no start command was found ({}): set run_command",
                looked_for.join(", ")
            ));
            for (program, directory) in &programs {
                self.transcript
                    .detail(&format!("{program}, made of {directory}, may be it"));
            }
            if let Some(builder) = &mut self.record.facts.builder {
                builder.start_looked_for.clone_from(looked_for);
                builder.programs = programs;
            }
        }
    }

    async fn keep_static(
        &mut self,
        site: Site,
        output: &StaticOutput,
        before: KnownDirectories,
        key: &BuildKey,
    ) -> Result<Artifact, BuildEnd> {
        let (_, tree) = self.trees(&site.workspace)?;
        let directory = match assemble::choose_output(output, &tree, &before) {
            OutputChoice::Directory(directory) => directory,
            OutputChoice::Missing { output_dir, written } => {
                return Err(BuildEnd::Failed(BuildFault::OutputDirMissing {
                    output_dir,
                    written,
                }));
            }
        };
        self.transcript
            .step(&format!("collecting the files of {directory}"));
        let store = self.inner.store.clone();
        let (root, app) = (site.workspace.root(), site.workspace.app());
        let moved =
            tokio::task::spawn_blocking(move || assemble::move_output(&store, &root, &app, &directory));
        let work = async {
            let moved = moved
                .await
                .map_err(|error| platform_fault("keeping the files", &error))?;
            moved.map_err(|error| store_fault("keeping the files", &error))
        };
        let (layer, left_out) = self.platform_step("keep the files", work).await?;
        for link in left_out {
            self.transcript.tool(
                LogSource::Platform,
                &format!("warning: {link} is a link that leads out of the source; it is left out"),
            );
        }
        self.keep_files(layer, key)
    }

    /// Records a static site's files: an image of one layer, which nothing is ever started from.
    pub(super) fn keep_files(&self, layer: LayerId, key: &BuildKey) -> Result<Artifact, BuildEnd> {
        let store = &self.inner.store;
        let fault = |error| BuildEnd::Failed(store_fault("keeping the files", &error));
        let path = store.layer_path(&layer).map_err(fault)?;
        if let Some(warning) = without_index(&path) {
            self.transcript
                .tool(LogSource::Platform, &format!("warning: {warning}"));
        }
        let record = ImageRecord {
            id: store.new_image_id(),
            layers: vec![layer],
            config: ImageConfig::default(),
            created_at: Timestamp::now(),
            origin: self.origin(key),
            digest: None,
        };
        let image = record.id.clone();
        store.put_image(&record).map_err(fault)?;
        self.transcript.done(&format!("static files {image}"));
        Ok(Artifact::StaticFiles { image, path })
    }

    /// Where an image comes from, for people.
    pub(super) fn origin(&self, key: &BuildKey) -> String {
        let short: String = key.hex.chars().take(12).collect();
        format!(
            "build of {} at {}, key {short}",
            self.request.component, self.request.source.revision
        )
    }
}

/// A site without its first page looks like one that does not work.
fn without_index(files: &Path) -> Option<String> {
    (!files.join("index.html").exists()).then(|| {
        "the site has no index.html at its top: `/` is 404, unless index_document or catchall_document names another page"
            .to_owned()
    })
}

/// The directory of the Go package that a program is called after.
fn main_package(tree: &SourceTree, program: &str) -> Option<String> {
    let is_main = |directory: &String| {
        tree.entries(directory).iter().any(|entry| {
            let is_source = entry.kind == EntryKind::File
                && entry.name.rsplit_once('.').is_some_and(|(_, end)| end == "go");
            is_source
                && tree
                    .text(&format!("{directory}/{}", entry.name))
                    .is_some_and(|text| text.lines().any(|line| line.trim_end() == "package main"))
        })
    };
    tree.directories()
        .into_iter()
        .filter(|directory| directory.rsplit('/').next() == Some(program))
        .find(is_main)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_site_without_its_first_page_is_told() {
        let files = tempfile::tempdir().unwrap();
        assert!(without_index(files.path()).is_some_and(|text| text.contains("`/` is 404")));
        fs::write(files.path().join("index.html"), "").unwrap();
        assert_eq!(without_index(files.path()), None);
    }

    #[test]
    fn a_program_is_found_by_the_directory_of_its_package() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("internal/api/a.go", "package api\n"),
            ("services/cmd/api/main.go", "// Serves.\npackage main\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = SourceTree::open(root.path()).unwrap();
        assert_eq!(main_package(&tree, "api").as_deref(), Some("services/cmd/api"));
        assert_eq!(main_package(&tree, "worker"), None);
    }
}

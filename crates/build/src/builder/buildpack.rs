//! A build with a buildpack: tools, dependencies, steps, and what is kept of it.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::SystemTime};

use mainstay_engine::{Mount, MountKind};
use mainstay_images::stack::StackImage;
use mainstay_shim::log::LogSource;

use super::run::{Made, Run, inputs, own_values, store_fault};
use crate::{
    assemble::{self, KnownDirectories},
    buildpacks::Buildpack,
    execute::{
        APP_ROOT, BUILD_USER, BuildEnd, ContainerTemplate, Dependencies, DiskWatch, Snapshot, StepRunner,
        Workspace,
    },
    findings::FindingContext,
    keys::{self, BuildKey},
    plan::{BuildPlan, ToolchainNeed},
    source::{OutsideWatch, platform_fault},
    toolchain::{ResolvedTools, ToolFinder},
};

/// What the steps of one build work on.
pub(super) struct Site {
    pub(super) plan: BuildPlan,
    pub(super) workspace: Workspace,
    pub(super) dependencies: Dependencies,
    pub(super) runner: StepRunner,
    pub(super) findings: FindingContext,
    /// Mounts that all steps have: the source, caches, the operator's files.
    pub(super) mounts: Vec<Mount>,
    /// State of the app's directory before the first installing step.
    pub(super) before_install: Option<Snapshot>,
}

impl Run<'_> {
    pub(super) async fn with_buildpack(
        &mut self,
        buildpack: &dyn Buildpack,
        workspace: Workspace,
        stack: &StackImage,
        key: &BuildKey,
    ) -> Result<Made, BuildEnd> {
        let plan = self.plan(buildpack, &workspace)?;
        let tools = self.tools(&plan, stack).await?;
        let before = plan
            .static_output
            .as_ref()
            .map(|_| KnownDirectories::of(&workspace.app()));
        let outside = self.watch_outside(&workspace);
        let mut site = self.prepare(plan, workspace, stack, &tools)?;
        self.run_steps(&mut site).await?;
        let reads_outside = outside.is_some_and(|outside| outside.was_read());
        let artifact = self.assemble(site, stack, &tools, before, key).await?;
        Ok(Made {
            artifact,
            reads_outside,
        })
    }

    fn plan(&self, buildpack: &dyn Buildpack, workspace: &Workspace) -> Result<BuildPlan, BuildEnd> {
        let (_, tree) = self.trees(workspace)?;
        let (source_dir, app_directory) = (self.source_dir.to_string(), workspace.app_directory());
        let plan = buildpack.plan(&tree, &inputs(&self.request, &source_dir, &app_directory))?;
        for note in &plan.notes {
            self.transcript.detail(note);
        }
        for warning in &plan.warnings {
            self.transcript
                .tool(LogSource::Platform, &format!("warning: {warning}"));
        }
        Ok(plan)
    }

    async fn tools(&mut self, plan: &BuildPlan, stack: &StackImage) -> Result<ResolvedTools, BuildEnd> {
        let inner = self.inner;
        let work = async {
            let finder = ToolFinder {
                store: &inner.store,
                settings: &inner.settings,
                toolchains: &inner.toolchains,
                stack,
            };
            finder.find_all(&plan.toolchains).await
        };
        self.transcript.section("tools");
        self.transcript.detail(&format!("stack {}", stack.id));
        let tools = self.platform_step("prepare the tools", work).await?;
        for ((tool, version), need) in tools.versions.iter().zip(&plan.toolchains) {
            let why = match (&need.wanted, &need.declared_in) {
                (Some(wanted), Some(place)) => format!(" ({place}: {wanted})"),
                _ => String::new(),
            };
            self.transcript.detail(&format!("{tool} {version}{why}"));
        }
        let stack = ("stack".to_owned(), stack.id.clone());
        self.record.facts.tools = std::iter::once(stack).chain(tools.versions.clone()).collect();
        self.record.facts.version_reasons = plan.toolchains.iter().map(ToolchainNeed::reason).collect();
        Ok(tools)
    }

    /// Only a part of a repository can read outside of itself. Without a file to tell by, it counts as if it did.
    fn watch_outside(&self, workspace: &Workspace) -> Option<OutsideWatch> {
        if self.source_dir.is_root() {
            return None;
        }
        let control = fs::read_dir(workspace.app())
            .ok()?
            .flatten()
            .find(|entry| is_control(&entry.file_name().to_string_lossy()))?;
        match OutsideWatch::begin(&workspace.root(), &workspace.app(), control.path()) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "reads outside of the source directory cannot be watched");
                None
            }
        }
    }

    fn prepare(
        &self,
        plan: BuildPlan,
        workspace: Workspace,
        stack: &StackImage,
        tools: &ResolvedTools,
    ) -> Result<Site, BuildEnd> {
        let store = &self.inner.store;
        let fault = |error| BuildEnd::Failed(store_fault("preparing the build", &error));
        let app_directory = workspace.app_directory();
        let variables = keys::variables_hash(&self.request);
        let parts = keys::dependency_parts(self.request.app, &stack.id, &tools.versions, &variables);
        let dependencies = Dependencies::prepare(
            store,
            &app_directory,
            &plan.dependencies,
            &parts,
            self.request.force,
        )
        .map_err(fault)?;
        let (repository, tree) = self.trees(&workspace)?;
        let env = self.environment(&plan, stack, tools, &app_directory);
        let command = self.request.build_command.as_deref().unwrap_or_default();
        let findings = FindingContext::read(&repository, &tree, env.keys().cloned()).setting(command);
        let mut layers = store.layer_paths(&stack.build).map_err(fault)?;
        for layer in &tools.build_layers {
            layers.push(store.layer_path(layer).map_err(fault)?);
        }
        let mounts = self
            .mounts(&plan, &workspace)
            .map_err(|error| platform_fault("preparing the build", &error))?;
        let runner = StepRunner {
            engine: Arc::clone(&self.inner.engine),
            template: ContainerTemplate {
                app: self.request.app,
                build: self.request.build,
                layers,
                env,
                working_dir: app_directory,
                limits: self.request.limits,
            },
            clock: self.clock.clone(),
            disk: DiskWatch::new(vec![workspace.draft_directory()], self.request.limits.disk_bytes),
            transcript: self.transcript.clone(),
            removal: self.removal.clone(),
        };
        Ok(Site {
            plan,
            workspace,
            dependencies,
            runner,
            findings,
            mounts,
            before_install: None,
        })
    }

    /// The stack's, the plan's, the operator's, the component's: a later one wins.
    fn environment(
        &self,
        plan: &BuildPlan,
        stack: &StackImage,
        tools: &ResolvedTools,
        app_directory: &str,
    ) -> BTreeMap<String, String> {
        let mut env = stack.build.config.env.clone();
        let usual = env.remove("PATH").unwrap_or_default();
        env.insert(
            "PATH".to_owned(),
            assemble::search_path(&plan.path, &tools.build_path, &usual),
        );
        env.insert("HOME".to_owned(), app_directory.to_owned());
        env.extend(plan.build_environment.clone());
        env.extend(self.inner.settings.for_containers().variables);
        env.extend(own_values(&self.request));
        env
    }

    /// The source, the caches of this component's tools, the operator's files.
    fn mounts(&self, plan: &BuildPlan, workspace: &Workspace) -> std::io::Result<Vec<Mount>> {
        let mut mounts = vec![writable(APP_ROOT, workspace.root())];
        let caches = self
            .inner
            .app_caches(self.request.app)
            .join(&self.request.component);
        for cache in &plan.caches {
            let directory = caches.join(&cache.name);
            if self.request.force && directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::create_dir_all(&directory)?;
            std::os::unix::fs::chown(&directory, Some(BUILD_USER.0), Some(BUILD_USER.1))?;
            mounts.push(writable(&cache.mounted_at, directory));
        }
        if !plan.caches.is_empty() {
            // Says when they were used last.
            fs::File::open(&caches)?.set_modified(SystemTime::now())?;
        }
        for (source, target) in self.inner.settings.for_containers().files {
            mounts.push(Mount {
                target: target.display().to_string(),
                kind: MountKind::ReadOnly { source },
            });
        }
        Ok(mounts)
    }
}

fn writable(target: &str, source: PathBuf) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Writable { source },
    }
}

/// Files that the chosen tool reads for certain.
fn is_control(name: &str) -> bool {
    matches!(
        name,
        "package.json"
            | "requirements.txt"
            | "pyproject.toml"
            | "uv.lock"
            | "go.mod"
            | "Pipfile.lock"
            | "poetry.lock"
    )
}

//! Toolchains of a plan: which version, from where, and what has to be in the build and in the image for it.
//!
//! ```text
//! need (tool, range) ─▶ release ─▶ layers      npm packages and wheels below /opt/mainstay, links to their programs in a layer of
//!                                              their own; Python from the stack's Debian
//! ```

mod go;
mod hugo;
mod node;
mod python;

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::{
    ImageStore, OperatorSettings,
    record::LayerId,
    stack::StackImage,
    store::{LayerKey, StoreError},
    toolchains::{Archive, Toolchains},
};

use crate::{
    plan::{Tool, ToolchainNeed},
    source::platform_fault,
};

/// Everything that a plan's tools need.
#[derive(Debug, Default)]
pub(crate) struct ResolvedTools {
    /// In the order of the needs: ("node", "22.11.0").
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) build_layers: Vec<LayerId>,
    pub(crate) run_layers: Vec<LayerId>,
    pub(crate) build_path: Vec<String>,
    pub(crate) run_path: Vec<String>,
}

/// One tool, found.
#[derive(Debug)]
struct ResolvedTool {
    version: String,
    build_layers: Vec<LayerId>,
    run_layers: Vec<LayerId>,
    /// Directories of its programs.
    path: Vec<String>,
}

/// Finds tools.
#[derive(Debug)]
pub(crate) struct ToolFinder<'a> {
    pub(crate) store: &'a ImageStore,
    pub(crate) settings: &'a OperatorSettings,
    pub(crate) toolchains: &'a Toolchains,
    pub(crate) stack: &'a StackImage,
}

impl ToolFinder<'_> {
    /// All needs of a plan, one after the other: a tool's default may depend on the version of one before it.
    pub(crate) async fn find_all(&self, needs: &[ToolchainNeed]) -> Result<ResolvedTools, BuildFault> {
        let mut found = ResolvedTools::default();
        for need in needs {
            let tool = self.find(need, &found).await?;
            found.versions.push((need.tool.name().to_owned(), tool.version));
            found.build_layers.extend(tool.build_layers);
            add_paths(&mut found.build_path, &tool.path);
            if need.at_run_time {
                found.run_layers.extend(tool.run_layers);
                add_paths(&mut found.run_path, &tool.path);
            }
        }
        Ok(found)
    }

    async fn find(&self, need: &ToolchainNeed, earlier: &ResolvedTools) -> Result<ResolvedTool, BuildFault> {
        match need.tool {
            Tool::Node => node::runtime(self, need).await,
            Tool::Npm | Tool::Yarn | Tool::YarnBerry | Tool::Pnpm => {
                node::package_manager(self, need, earlier).await
            }
            Tool::Bun => node::bun(self, need).await,
            Tool::Python => python::interpreter(self, need).await,
            Tool::Uv => python::uv(self, need).await,
            Tool::Go => go::compiler(self, need).await,
            Tool::Hugo => hugo::generator(self, need).await,
        }
    }

    /// An archive, unpacked at this path below the root.
    async fn layer_of(
        &self,
        need: &ToolchainNeed,
        archive: &Archive,
        at: &str,
    ) -> Result<LayerId, BuildFault> {
        let made = self.toolchains.layer(archive, at).await;
        made.map_err(|error| error.into_fault(need.tool.name(), wish(need), need.declared_in.as_deref()))
    }

    /// A layer of symbolic links: (path below the root, destination).
    async fn links(&self, name: &str, links: &[(String, String)]) -> Result<LayerId, BuildFault> {
        let parts = links
            .iter()
            .map(|(path, destination)| (path.as_str(), destination.as_str()));
        let key = LayerKey::new(&format!("tool-links {name}"), parts);
        let made = self.store.layer_for::<StoreError, _>(&key, async |draft| {
            for (path, destination) in links {
                let place = draft.path().join(path);
                link(&place, destination).map_err(|source| StoreError::File {
                    operation: "link",
                    path: place.clone(),
                    source,
                })?;
            }
            Ok(())
        });
        made.await
            .map_err(|error| platform_fault(format!("preparing {name}"), &error))
    }
}

fn link(place: &std::path::Path, destination: &str) -> std::io::Result<()> {
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::os::unix::fs::symlink(destination, place)
}

fn add_paths(paths: &mut Vec<String>, more: &[String]) {
    for path in more {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
}

/// What was asked for, for faults: the range, or that it was the default.
fn wish(need: &ToolchainNeed) -> &str {
    need.wanted.as_deref().unwrap_or("the default version")
}

/// The way of Go and Hugo to name versions in that of the index that has them: "1.22" is any 1.22, "1.22.3" is that one, ">=1.21" stays.
fn exact_specifier(wanted: Option<&str>) -> String {
    match wanted.map(str::trim) {
        None | Some("") => String::new(),
        Some(range) if range.starts_with(['>', '<', '=', '~']) => range.to_owned(),
        Some(version) if version.matches('.').count() < 2 => format!("=={version}.*"),
        Some(version) => format!("=={version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_specifiers() {
        assert_eq!(exact_specifier(Some("1.22")), "==1.22.*");
        assert_eq!(exact_specifier(Some("1.22.3")), "==1.22.3");
        assert_eq!(exact_specifier(Some(">=1.15")), ">=1.15");
        assert_eq!(exact_specifier(None), "");
    }
}

//! What a plan depends on besides the files.

use std::collections::BTreeMap;

use mainstay_spec::kind::ComponentKind;

use crate::BuildVariable;

/// The component as far as detectors and buildpacks may know it.
#[derive(Debug, Clone, Copy)]
pub struct PlanInputs<'a> {
    pub kind: ComponentKind,
    /// As the spec says it, relative to the source: "/" or "api".
    pub source_dir: &'a str,
    /// Where the app's files are in the container: "/workspace/api".
    pub app_directory: &'a str,
    pub dockerfile_path: Option<&'a str>,
    pub environment_slug: Option<&'a str>,
    pub build_command: Option<&'a str>,
    pub output_dir: Option<&'a str>,
    pub variables: &'a BTreeMap<String, BuildVariable>,
}

impl PlanInputs<'_> {
    /// The value of a build variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.value.as_str())
    }

    /// Set, and neither empty, "0" nor "false".
    pub fn is_on(&self, name: &str) -> bool {
        self.variable(name)
            .is_some_and(|value| !matches!(value, "" | "0" | "false"))
    }

    pub fn is_production(&self) -> bool {
        self.variable("NODE_ENV") == Some("production")
    }

    pub fn is_static_site(&self) -> bool {
        self.kind == ComponentKind::StaticSite
    }

    /// A path in the container.
    pub fn in_app(&self, path: &str) -> String {
        format!("{}/{path}", self.app_directory)
    }
}

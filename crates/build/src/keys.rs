//! The build key: equal keys mean that the same build would be done again.
//!
//! It is made of what is asked for, not of what was found: deciding that nothing changed needs no file, no detection and no network beyond
//! the branch's commit. A newer release of a toolchain within the app's range therefore waits for the next change or a forced build.

use mainstay_spec::{ids::AppId, kind::ComponentKind};

use crate::{BuildRequest, buildpacks, digest::FieldHash, source::SourceDir};

/// Changes when the executor itself would give something else from the same plan.
const EXECUTOR_VERSION: &str = "2";
/// Digits of ids and hashes that are shown.
const SHOWN: usize = 12;

/// A key and its parts, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildKey {
    /// 64 hex digits.
    pub(crate) hex: String,
    /// ("source", "tree 3f2a…"), in a fixed order; no values of variables.
    pub(crate) parts: Vec<(String, String)>,
}

/// Hashes over a request, part by part.
#[derive(Debug, Default)]
struct Maker {
    hash: FieldHash,
    parts: Vec<(String, String)>,
}

impl Maker {
    fn part(&mut self, name: &str, value: &str, shown: impl Into<String>) {
        self.hash.field(name).field(value);
        self.parts.push((name.to_owned(), shown.into()));
    }

    /// Absent and empty are different.
    fn optional(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.part(name, &format!("={value}"), value),
            None => {
                self.hash.field(name).field("");
            }
        }
    }
}

impl BuildKey {
    /// `source` identifies the files that the build sees; `stack` the base images.
    pub(crate) fn of(request: &BuildRequest, source_dir: &SourceDir, source: &str, stack: &str) -> Self {
        let mut maker = Maker::default();
        let shown: String = source.chars().take(SHOWN).collect();
        maker.part("source", source, format!("tree {shown}"));
        maker.part("source_dir", source_dir.as_str(), source_dir.to_string());
        maker.part("app", &request.app.to_string(), request.app.to_string());
        maker.part("kind", kind(request.kind), kind(request.kind));
        maker.optional("dockerfile_path", request.dockerfile_path.as_deref());
        maker.optional("environment_slug", request.environment_slug.as_deref());
        maker.optional("build_command", request.build_command.as_deref());
        maker.optional("output_dir", request.output_dir.as_deref());
        maker.part("variables", &variables_hash(request), names(request));
        maker.part("stack", stack, stack);
        maker.part("builder", &builder_versions(), builder_versions());
        Self {
            hex: maker.hash.hex(),
            parts: maker.parts,
        }
    }
}

/// Static sites are kept as files, everything else as an image.
fn kind(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::StaticSite => "static site",
        _ => "image",
    }
}

/// Names and values of the build's variables.
pub(crate) fn variables_hash(request: &BuildRequest) -> String {
    let mut hash = FieldHash::default();
    for (name, variable) in &request.variables {
        hash.field(name).field(&variable.value);
    }
    hash.hex()
}

fn names(request: &BuildRequest) -> String {
    let names: Vec<&str> = request.variables.keys().map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(" ")
    }
}

fn builder_versions() -> String {
    let buildpacks = buildpacks::all()
        .iter()
        .map(|buildpack| format!("{} {}", buildpack.name(), buildpack.version()));
    let versions: Vec<String> = [format!("executor {EXECUTOR_VERSION}")]
        .into_iter()
        .chain(buildpacks)
        .collect();
    versions.join(", ")
}

/// What keys of dependency layers have in common, besides the plan's own parts.
pub(crate) fn dependency_parts(
    app: AppId,
    stack: &str,
    tools: &[(String, String)],
    variables: &str,
) -> Vec<(String, String)> {
    let mut parts = vec![
        ("app".to_owned(), app.to_string()),
        ("stack".to_owned(), stack.to_owned()),
        ("variables".to_owned(), variables.to_owned()),
    ];
    parts.extend(tools.iter().cloned());
    parts
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use mainstay_spec::ids::{BuildId, DeploymentId};
    use uuid::Uuid;

    use super::*;
    use crate::{BuildLimits, BuildVariable, ResolvedSource, Source};

    pub(crate) fn request() -> BuildRequest {
        BuildRequest {
            build: BuildId::from_uuid(Uuid::from_u128(1)),
            app: AppId::from_uuid(Uuid::from_u128(2)),
            deployment: DeploymentId::from_uuid(Uuid::from_u128(3)),
            component: "web".to_owned(),
            kind: ComponentKind::Service,
            source: ResolvedSource {
                source: Source::Git {
                    url: "https://h.example/a".to_owned(),
                    branch: None,
                },
                revision: "1".repeat(40),
            },
            source_dir: "/".to_owned(),
            dockerfile_path: None,
            build_command: None,
            run_command: None,
            environment_slug: None,
            output_dir: None,
            variables: BTreeMap::new(),
            force: false,
            limits: BuildLimits {
                memory_bytes: 1 << 30,
                cpu_millis: 1000,
                pids: 512,
                disk_bytes: 4 << 30,
                time_seconds: 600,
            },
        }
    }

    fn hex(request: &BuildRequest) -> String {
        BuildKey::of(request, &SourceDir::root(), "tree", "debian-12 2026-01-01").hex
    }

    #[test]
    fn what_changes_the_build_changes_the_key() {
        let base = request();
        let variable = |secret| BuildVariable {
            value: "x".to_owned(),
            secret,
        };
        let changed = [
            BuildRequest {
                build_command: Some("make".to_owned()),
                ..base.clone()
            },
            BuildRequest {
                build_command: Some(String::new()),
                ..base.clone()
            },
            BuildRequest {
                environment_slug: Some("go".to_owned()),
                ..base.clone()
            },
            BuildRequest {
                kind: ComponentKind::StaticSite,
                ..base.clone()
            },
            BuildRequest {
                variables: [("A".to_owned(), variable(true))].into(),
                ..base.clone()
            },
        ];
        for request in &changed {
            assert_ne!(hex(request), hex(&base), "{request:?}");
        }
    }

    #[test]
    fn what_only_runs_does_not() {
        let base = request();
        let same = BuildRequest {
            run_command: Some("node .".to_owned()),
            component: "other".to_owned(),
            kind: ComponentKind::Worker,
            deployment: DeploymentId::from_uuid(Uuid::from_u128(9)),
            ..base.clone()
        };
        assert_eq!(hex(&same), hex(&base));
    }

    #[test]
    fn values_of_variables_are_never_shown() {
        let mut base = request();
        base.variables.insert(
            "TOKEN".to_owned(),
            BuildVariable {
                value: "hunter22".to_owned(),
                secret: true,
            },
        );
        let key = BuildKey::of(&base, &SourceDir::root(), "tree", "stack");
        assert!(key.parts.contains(&("variables".to_owned(), "TOKEN".to_owned())));
        assert!(!format!("{key:?}").contains("hunter22"));
    }
}

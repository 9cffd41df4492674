//! Which package manager installs the dependencies, in which version, and with which words.

use super::manifest::Manifest;
use crate::{
    plan::{PlanInputs, PlanStep, Tool, ToolchainNeed},
    source::SourceTree,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Npm,
    Yarn,
    YarnBerry,
    Pnpm,
    Bun,
}

#[derive(Debug, Clone)]
pub(super) struct PackageManager {
    pub(super) kind: Kind,
    /// The lock file that is committed, if any.
    pub(super) lock_file: Option<&'static str>,
    /// "yarn.lock was found: dependencies are installed with yarn".
    pub(super) reason: String,
    pub(super) toolchain: ToolchainNeed,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn => "yarn",
            Self::YarnBerry => "yarn-berry",
            Self::Pnpm => "pnpm",
            Self::Bun => "bun",
        }
    }

    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn | Self::YarnBerry => "yarn",
            Self::Pnpm => "pnpm",
            Self::Bun => "bun",
        }
    }

    fn tool(self) -> Tool {
        match self {
            Self::Npm => Tool::Npm,
            Self::Yarn => Tool::Yarn,
            Self::YarnBerry => Tool::YarnBerry,
            Self::Pnpm => Tool::Pnpm,
            Self::Bun => Tool::Bun,
        }
    }

    /// Caches, and nothing that asks or phones home. Yarn's own cache of version 2 and later stays in the app: without `node_modules`
    /// the app runs from it.
    pub(super) fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Npm => &[],
            Self::Yarn => &[("YARN_CACHE_FOLDER", "/cache/node/yarn")],
            Self::YarnBerry => &[
                ("YARN_ENABLE_GLOBAL_CACHE", "false"),
                ("YARN_ENABLE_TELEMETRY", "0"),
                ("YARN_GLOBAL_FOLDER", "/cache/node/yarn-berry"),
            ],
            Self::Pnpm => &[("npm_config_store_dir", "/cache/node/pnpm")],
            Self::Bun => &[("BUN_INSTALL_CACHE_DIR", "/cache/node/bun")],
        }
    }
}

impl PackageManager {
    /// By lock file in the order yarn, pnpm, npm, bun; without one by `packageManager`, then by `environment_slug: bun`; else npm.
    pub(super) fn choose(tree: &SourceTree, manifest: &Manifest, inputs: &PlanInputs<'_>) -> Self {
        let declared = manifest.text("packageManager").and_then(Declared::parse);
        let by_lock = [
            ("yarn.lock", Kind::Yarn),
            ("pnpm-lock.yaml", Kind::Pnpm),
            ("package-lock.json", Kind::Npm),
            ("npm-shrinkwrap.json", Kind::Npm),
            ("bun.lock", Kind::Bun),
            ("bun.lockb", Kind::Bun),
        ]
        .into_iter()
        .find(|(file, _)| tree.has_file(file));
        let (kind, lock_file, reason) = match (by_lock, &declared) {
            (Some((file, kind)), _) => (kind, Some(file), format!("{file} was found")),
            (None, Some(declared)) => (
                declared.kind,
                None,
                format!("packageManager is {}", declared.text),
            ),
            (None, None) if inputs.environment_slug == Some("bun") => {
                (Kind::Bun, None, "environment_slug is bun".to_owned())
            }
            (None, None) => (Kind::Npm, None, "no lock file was found".to_owned()),
        };
        let kind = match kind {
            Kind::Yarn if is_berry(tree, declared.as_ref()) => Kind::YarnBerry,
            other => other,
        };
        let toolchain = match kind {
            Kind::Bun => bun(tree, manifest, declared.as_ref(), inputs),
            Kind::Pnpm => pnpm(tree, manifest, declared.as_ref()),
            other => toolchain(other, manifest, declared.as_ref()),
        };
        Self {
            kind,
            lock_file,
            reason: format!("{reason}: dependencies are installed with {}", kind.command()),
            toolchain,
        }
    }

    /// Everything, development dependencies included; `production` has to be contradicted for that.
    pub(super) fn install(&self, production: bool) -> PlanStep {
        let mut words = match (self.kind, self.lock_file.is_some()) {
            (Kind::Npm, true) => vec!["npm", "ci"],
            (Kind::Npm, false) => vec!["npm", "install"],
            (Kind::Yarn, true) => vec![
                "yarn",
                "install",
                "--frozen-lockfile",
                "--ignore-engines",
                "--prefer-offline",
            ],
            (Kind::Yarn, false) => vec!["yarn", "install", "--ignore-engines"],
            (Kind::YarnBerry, true) => vec!["yarn", "install", "--immutable"],
            (Kind::YarnBerry, false) => vec!["yarn", "install"],
            (Kind::Pnpm, true) => vec!["pnpm", "install", "--frozen-lockfile"],
            (Kind::Pnpm, false) => vec!["pnpm", "install"],
            (Kind::Bun, true) => vec!["bun", "install", "--frozen-lockfile"],
            (Kind::Bun, false) => vec!["bun", "install"],
        };
        if production {
            words.extend(match self.kind {
                Kind::Npm => Some("--include=dev"),
                Kind::Yarn => Some("--production=false"),
                Kind::Pnpm => Some("--prod=false"),
                Kind::YarnBerry | Kind::Bun => None,
            });
        }
        PlanStep::new("Installing dependencies", words)
    }

    /// Takes the development dependencies away again.
    pub(super) fn prune(&self) -> Option<PlanStep> {
        let words: &[&str] = match self.kind {
            Kind::Npm => &["npm", "prune", "--omit=dev", "--ignore-scripts"],
            Kind::Yarn => &[
                "yarn",
                "install",
                "--production",
                "--ignore-scripts",
                "--prefer-offline",
                "--frozen-lockfile",
                "--ignore-engines",
            ],
            Kind::Pnpm => &["pnpm", "prune", "--prod", "--ignore-scripts"],
            // `workspaces focus --production` is a plugin in some versions and rewrites more than it should in others; Bun takes nothing
            // away that is installed.
            Kind::YarnBerry | Kind::Bun => return None,
        };
        Some(PlanStep::new(PRUNING, words.iter().copied()))
    }
}

/// Heading of the step that is there because `NODE_ENV` is production.
pub(crate) const PRUNING: &str = "Pruning development dependencies";

/// `packageManager` of package.json: "pnpm@9.1.0+sha512.…".
#[derive(Debug)]
struct Declared {
    kind: Kind,
    version: String,
    text: String,
}

impl Declared {
    fn parse(text: &str) -> Option<Self> {
        let (name, version) = text.split_once('@')?;
        let version = version.split('+').next().unwrap_or_default().trim().to_owned();
        let kind = match name.trim() {
            "npm" => Kind::Npm,
            "pnpm" => Kind::Pnpm,
            "yarn" if major(&version) >= 2 => Kind::YarnBerry,
            "yarn" => Kind::Yarn,
            "bun" => Kind::Bun,
            _ => return None,
        };
        Some(Self {
            kind,
            text: format!("{}@{version}", name.trim()),
            version,
        })
    }

    fn is_for(&self, kind: Kind) -> bool {
        self.kind == kind && !self.version.is_empty()
    }
}

fn major(version: &str) -> u32 {
    version
        .split('.')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn is_berry(tree: &SourceTree, declared: Option<&Declared>) -> bool {
    match declared {
        Some(declared) if matches!(declared.kind, Kind::Yarn | Kind::YarnBerry) => {
            declared.kind == Kind::YarnBerry
        }
        _ => tree
            .text("yarn.lock")
            .is_some_and(|text| text.contains("__metadata:")),
    }
}

fn toolchain(kind: Kind, manifest: &Manifest, declared: Option<&Declared>) -> ToolchainNeed {
    let exact = declared.filter(|declared| declared.is_for(kind));
    let (wanted, place) = if let Some(declared) = exact {
        (
            Some(declared.version.clone()),
            "packageManager in package.json".to_owned(),
        )
    } else {
        let engine = manifest.engine(kind.command()).map(str::to_owned);
        (engine, format!("engines.{} in package.json", kind.command()))
    };
    let declared_in = wanted.as_ref().map(|_| place);
    ToolchainNeed {
        tool: kind.tool(),
        wanted,
        declared_in,
        at_run_time: true,
    }
}

/// Each pnpm reads the lock files of a few versions: where none is asked for, the one that writes what is there.
fn pnpm(tree: &SourceTree, manifest: &Manifest, declared: Option<&Declared>) -> ToolchainNeed {
    let need = toolchain(Kind::Pnpm, manifest, declared);
    let text = tree.text("pnpm-lock.yaml").unwrap_or_default();
    match by_lock_file(&text).filter(|_| need.wanted.is_none()) {
        Some(line) => ToolchainNeed {
            wanted: Some(line.to_owned()),
            declared_in: Some("lockfileVersion in pnpm-lock.yaml".to_owned()),
            ..need
        },
        None => need,
    }
}

/// <https://github.com/pnpm/spec/tree/master/lockfile>; the newest is what the default reads.
fn by_lock_file(text: &str) -> Option<&'static str> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("lockfileVersion:"))?;
    match line.trim().trim_matches(['\'', '"']) {
        "5.3" => Some("6.x"),
        "5.4" => Some("7.x"),
        "6.0" | "6.1" => Some("8.x"),
        _ => None,
    }
}

/// Bun has places of its own before those of all package managers.
fn bun(
    tree: &SourceTree,
    manifest: &Manifest,
    declared: Option<&Declared>,
    inputs: &PlanInputs<'_>,
) -> ToolchainNeed {
    let file = |name: &'static str| {
        let text = tree.text(name)?;
        let version = text
            .trim()
            .trim_start_matches("bun-v")
            .trim_start_matches(['v', '=']);
        (!version.is_empty()).then(|| (version.to_owned(), name))
    };
    let variable = inputs
        .variable("BUN_VERSION")
        .map(|version| (version.to_owned(), "the variable BUN_VERSION"));
    let own = variable
        .or_else(|| file(".bun-version"))
        .or_else(|| file("runtime.bun.txt"));
    let need = toolchain(Kind::Bun, manifest, declared);
    match own {
        Some((version, place)) => ToolchainNeed {
            wanted: Some(version),
            declared_in: Some(place.to_owned()),
            ..need
        },
        None => need,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_lock_file_asks_for_the_pnpm_that_wrote_it() {
        for (text, wanted) in [
            ("lockfileVersion: 5.4\n\nspecifiers:\n", Some("7.x")),
            ("lockfileVersion: '6.0'\n", Some("8.x")),
            ("lockfileVersion: '9.0'\n", None),
            ("", None),
        ] {
            assert_eq!(by_lock_file(text), wanted, "{text}");
        }
    }

    #[test]
    fn package_manager_field_is_read_without_its_hash() {
        let declared = Declared::parse("yarn@4.1.0+sha224.abc").unwrap();
        assert_eq!(
            (declared.kind, declared.version.as_str()),
            (Kind::YarnBerry, "4.1.0")
        );
        assert_eq!(Declared::parse("yarn@1.22.22").unwrap().kind, Kind::Yarn);
        assert_eq!(Declared::parse("bun@1.1.0").unwrap().kind, Kind::Bun);
        assert!(Declared::parse("cargo@1.1.0").is_none());
    }
}

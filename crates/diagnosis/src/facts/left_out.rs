//! Packages that a build left out of its image.

use serde::{Deserialize, Serialize};

/// What manifests declare for development alone, where a build left it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Package and manifest: ("nodemon", "package.json").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<(String, String)>,
    /// "`npm prune --omit=dev` removed them in the build".
    pub reason: String,
}

impl LeftOut {
    /// The package of this name, or the one that a module ("@scope/name/sub") or a program ("tsc") belongs to; and its manifest.
    pub fn find(&self, name: &str) -> Option<(&str, &str)> {
        let plain = name.replace('_', "-").to_lowercase();
        [name, package_of_program(name), &plain]
            .into_iter()
            .find_map(|name| self.packages.iter().find(|(package, _)| package == name))
            .map(|(package, manifest)| (package.as_str(), manifest.as_str()))
    }

    /// Without the list, for evidence: the message names what is missed.
    pub(crate) fn without_packages(self) -> Self {
        Self {
            packages: Vec::new(),
            ..self
        }
    }
}

/// Of programs whose package is called otherwise, and of modules that are parts of a package.
pub fn package_of_program(name: &str) -> &str {
    const PROGRAMS: &[(&str, &str)] = &[
        ("tsc", "typescript"),
        ("ng", "@angular/cli"),
        ("nest", "@nestjs/cli"),
        ("vue-cli-service", "@vue/cli-service"),
        ("svelte-kit", "@sveltejs/kit"),
        ("webpack", "webpack-cli"),
        ("tailwindcss", "@tailwindcss/cli"),
        ("remix", "@remix-run/dev"),
        ("run-s", "npm-run-all"),
        ("run-p", "npm-run-all"),
        ("babel", "@babel/cli"),
        ("babel-node", "@babel/node"),
    ];
    let known = PROGRAMS.iter().find(|(program, _)| *program == name);
    known.map_or_else(|| whole_package(name), |(_, package)| package)
}

/// "vite/client" and "@scope/name/sub" are parts of packages.
fn whole_package(module: &str) -> &str {
    let parts = if module.starts_with('@') { 2 } else { 1 };
    let end = module.match_indices('/').nth(parts - 1);
    end.map_or(module, |(end, _)| &module[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_programs_belong_to_packages() {
        let package = |name: &str| (name.to_owned(), "package.json".to_owned());
        let left_out = LeftOut {
            packages: ["typescript", "@swc-node/register", "ts-node", "pytest-cov"]
                .map(package)
                .into(),
            reason: String::new(),
        };
        for (name, found) in [
            ("tsc", Some("typescript")),
            ("@swc-node/register/esm", Some("@swc-node/register")),
            ("ts-node/register", Some("ts-node")),
            ("pytest_cov", Some("pytest-cov")),
            ("express", None),
        ] {
            assert_eq!(left_out.find(name).map(|(package, _)| package), found, "{name}");
        }
    }
}

//! `go.mod`, as far as a build depends on it (<https://go.dev/ref/mod#go-mod-file>).

use crate::source::SourceTree;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) path: Option<String>,
    /// The oldest Go that the module works with: "1.21".
    pub(super) go: Option<String>,
    /// "go1.22.3".
    pub(super) toolchain: Option<String>,
    /// `// +heroku goVersion go1.22`.
    pub(super) heroku_version: Option<String>,
    /// `// +heroku install ./cmd/...`, or the variable that says it.
    heroku_install: Vec<String>,
}

impl Module {
    pub(super) fn read(tree: &SourceTree) -> Self {
        Self::parse(&tree.text("go.mod").unwrap_or_default())
    }

    /// Packages of the variable `GO_INSTALL_PACKAGE_SPEC` come before those of go.mod.
    pub(super) fn installing(mut self, packages: Option<&str>) -> Self {
        let named: Vec<String> = packages
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        if !named.is_empty() {
            self.heroku_install = named;
        }
        self
    }

    fn parse(text: &str) -> Self {
        let mut module = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["module", path, ..] => module.path = Some(path.trim_matches('"').to_owned()),
                ["go", version, ..] => module.go = Some((*version).to_owned()),
                ["toolchain", name, ..] if *name != "default" => module.toolchain = Some((*name).to_owned()),
                ["//", "+heroku", "goVersion", version, ..] => {
                    module.heroku_version = Some((*version).to_owned());
                }
                ["//", "+heroku", "install", packages @ ..] => {
                    module.heroku_install = packages.iter().map(|package| (*package).to_owned()).collect();
                }
                _ => {}
            }
        }
        module
    }

    /// What is built.
    pub(super) fn packages(&self) -> Vec<&str> {
        if self.heroku_install.is_empty() {
            vec!["./..."]
        } else {
            self.heroku_install.iter().map(String::as_str).collect()
        }
    }

    /// The last part of the module path, a version suffix (`/v2`) left aside: what `go build` calls the program of the top package.
    pub(super) fn program_name(&self) -> Option<String> {
        let is_version = |part: &str| {
            part.strip_prefix('v')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let path = self.path.as_deref()?;
        path.rsplit('/').find(|part| !is_version(part)).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_go_mod_are_read() {
        let module = Module::parse(
            "module example.org/shop/v2\n\ngo 1.21\ntoolchain go1.22.3\n\n// +heroku goVersion go1.22\n// +heroku install ./cmd/... ./tool\n\nrequire (\n\tx.example/y v1.0.0\n)\n",
        );
        assert_eq!(module.program_name().as_deref(), Some("shop"));
        assert_eq!(module.go.as_deref(), Some("1.21"));
        assert_eq!(module.toolchain.as_deref(), Some("go1.22.3"));
        assert_eq!(module.heroku_version.as_deref(), Some("go1.22"));
        assert_eq!(module.packages(), ["./cmd/...", "./tool"]);
        let other = module.installing(Some("./cmd/api ./cmd/job"));
        assert_eq!(other.packages(), ["./cmd/api", "./cmd/job"]);
        assert_eq!(other.installing(None).packages(), ["./cmd/api", "./cmd/job"]);
    }
}

//! From which file dependencies are installed, and how.

use data_encoding::HEXLOWER;

use crate::{plan::PlanStep, source::SourceTree};

/// In order of preference.
pub(super) const MANIFESTS: &[&str] = &[
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
];

/// Other files that an installation from a project file reads.
const PROJECT_FILES: &[&str] = &[
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.toml",
    ".python-version",
    "runtime.txt",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Installer {
    /// The file that decides.
    pub(super) manifest: &'static str,
    /// Whether pyproject.toml describes a package that is built and installed itself.
    is_package: bool,
    /// Whether its dependencies stand where only Poetry reads them.
    is_poetry: bool,
}

impl Installer {
    pub(super) fn choose(tree: &SourceTree) -> Self {
        let manifest = tree
            .first_file(MANIFESTS)
            .expect("the detector found one of these files");
        let project = tree.text("pyproject.toml").unwrap_or_default();
        let has = |header: &str| project.lines().any(|line| line.trim() == header);
        let no_package = project
            .lines()
            .any(|line| line.split_whitespace().collect::<String>() == "package-mode=false");
        Self {
            manifest,
            is_package: has("[build-system]") && !no_package,
            is_poetry: manifest == "pyproject.toml" && has("[tool.poetry]") && !has("[project]"),
        }
    }

    pub(super) fn reason(&self) -> String {
        let how = match self.manifest {
            "poetry.lock" => "poetry",
            _ if self.is_poetry => "poetry",
            "Pipfile.lock" | "Pipfile" => "pipenv",
            _ => "uv",
        };
        format!(
            "{} was found: dependencies are installed with {how}",
            self.manifest
        )
    }

    pub(super) fn steps(&self) -> Vec<PlanStep> {
        let create = PlanStep::new(
            "Creating the virtual environment",
            ["uv", "venv", "--seed", "--quiet", ".venv"],
        );
        let install = |words: &[&str]| PlanStep::new("Installing dependencies", words.iter().copied());
        match (self.manifest, self.is_package) {
            // Makes the environment itself.
            ("uv.lock", _) => vec![install(&["uv", "sync", "--locked", "--no-default-groups"])],
            (manifest, _) if manifest == "poetry.lock" || self.is_poetry => vec![
                create,
                install(&[
                    "uv",
                    "tool",
                    "run",
                    "poetry",
                    "install",
                    "--only=main",
                    "--no-interaction",
                ]),
            ],
            ("Pipfile.lock", _) => vec![
                create,
                install(&["uv", "tool", "run", "pipenv", "install", "--deploy"]),
            ],
            ("Pipfile", _) => vec![
                create,
                install(&["uv", "tool", "run", "pipenv", "install", "--skip-lock"]),
            ],
            ("requirements.txt", _) => {
                vec![
                    create,
                    install(&["uv", "pip", "install", "--requirement", "requirements.txt"]),
                ]
            }
            ("pyproject.toml", false) => {
                vec![
                    create,
                    install(&["uv", "pip", "install", "--requirement", "pyproject.toml"]),
                ]
            }
            _ => vec![create, install(&["uv", "pip", "install", "--editable", "."])],
        }
    }

    /// What an installation reads; `None` when it depends on more files than can be named: requirements that include others or
    /// packages of the source itself.
    pub(super) fn key(&self, tree: &SourceTree) -> Option<Vec<(String, String)>> {
        let text = tree.text(self.manifest)?;
        if self.manifest == "requirements.txt" && text.lines().any(reads_more_files) {
            return None;
        }
        let editable = matches!(
            (self.manifest, self.is_package),
            ("pyproject.toml", true) | ("setup.py", _)
        );
        if editable || self.is_poetry || text.contains("editable = ") || text.contains("directory = ") {
            return None;
        }
        let mut key = vec![("installer".to_owned(), self.reason())];
        for file in PROJECT_FILES.iter().copied().chain([self.manifest]) {
            if let Some(digest) = tree.digest(file) {
                key.push((file.to_owned(), HEXLOWER.encode(&digest)));
            }
        }
        Some(key)
    }
}

/// `-r other.txt`, `-c limits.txt`, `-e .`, `./wheels/x.whl`, `file:…`, `--find-links dir`.
fn reads_more_files(line: &str) -> bool {
    let line = line.trim();
    let options = [
        "-r",
        "-c",
        "-e",
        "--requirement",
        "--constraint",
        "--editable",
        "--find-links",
        "-f",
    ];
    options.iter().any(|option| line.starts_with(option))
        || line.starts_with(['.', '/'])
        || line.contains("file:")
        || line.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_of_poetry_needs_it_also_without_a_lock_file() {
        let directory = tempfile::tempdir().unwrap();
        let steps = |project: &str| {
            std::fs::write(directory.path().join("pyproject.toml"), project).unwrap();
            let installer = Installer::choose(&SourceTree::open(directory.path()).unwrap());
            installer.steps().pop().unwrap().argv.join(" ")
        };
        assert!(steps("[tool.poetry]\nname = \"a\"\n[build-system]\n").contains("poetry install"));
        let own = "[project]\nname = \"a\"\n[tool.poetry]\npackage-mode = false\n[build-system]\n";
        assert_eq!(steps(own), "uv pip install --requirement pyproject.toml");
        assert_eq!(
            steps("[project]\n[build-system]\n"),
            "uv pip install --editable ."
        );
    }

    #[test]
    fn requirements_that_read_other_files_have_no_key() {
        for line in [
            "-r base.txt",
            "-e .",
            "./local",
            "x @ file:///srv/x.whl",
            "--constraint c.txt",
        ] {
            assert!(reads_more_files(line), "{line}");
        }
        for line in [
            "flask==3.0",
            "--index-url https://h.example/simple",
            "# -r comment",
            "",
        ] {
            assert!(!reads_more_files(line), "{line}");
        }
    }
}

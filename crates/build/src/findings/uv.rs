//! uv and pip. uv prints a tree: the heading names the kind of error, the lines below the packages.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

#[derive(Debug, Default)]
pub(super) struct Uv {
    /// The explanation of a failed resolution is being printed.
    resolving: bool,
}

impl Scanner for Uv {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        if line.contains("No solution found when resolving") {
            self.resolving = true;
            found.add("uv", "no solution", Some(Cause::DependencyConflict), line, None);
        } else if self.resolving {
            self.resolution(line, found);
        } else if let Some(message) = line.strip_prefix("ERROR: ") {
            pip(line, message, found);
        } else {
            single_line(line, found);
        }
    }
}

impl Uv {
    /// "╰─▶ Because nope was not found in the package registry and you require nope, we can conclude …"
    fn resolution(&mut self, line: &str, found: &mut Found) {
        let Some(finding) = found.latest("uv") else { return };
        if let Some(reason) = after(line, "Because ") {
            let reason = reason.trim();
            finding.line = format!("Because {reason}");
            if let Some((package, _)) = reason.split_once(" was not found in the package registry") {
                finding.cause = Some(Cause::DependencyNotFound);
                finding.subject = Some(package.to_owned());
            } else if let Some(version) = reason.strip_prefix("there is no version of ") {
                finding.cause = Some(Cause::DependencyNotFound);
                finding.subject = version.split_whitespace().next().map(str::to_owned);
            } else if reason.contains("current Python version") {
                finding.cause = Some(Cause::RuntimeVersionMismatch);
            }
        } else if !line.starts_with(' ') {
            self.resolving = false;
        }
    }
}

fn single_line(line: &str, found: &mut Found) {
    let (identifier, cause, subject) = if line.contains("Couldn't parse requirement in") {
        ("invalid requirement", Cause::ManifestInvalid, quoted(line))
    } else if line.contains("Failed to parse metadata") || line.contains("Failed to parse: `pyproject.toml`")
    {
        ("invalid manifest", Cause::ManifestInvalid, quoted(line))
    } else if line.contains("The lockfile at") && line.contains("needs to be updated") {
        ("--locked", Cause::LockfileOutOfStep, quoted(line))
    } else if line.contains("Unable to find lockfile at") {
        ("no lockfile", Cause::LockfileMissing, quoted(line))
    } else if line.contains("× Failed to build `") {
        ("failed to build", Cause::DependencyNotCompilable, quoted(line))
    } else if line.contains("incompatible with the project's Python requirement") {
        ("requires-python", Cause::RuntimeVersionMismatch, None)
    } else if line.contains("Failed to fetch: `") && line.contains("error: ") {
        (
            "failed to fetch",
            Cause::DependencyRegistryUnreachable,
            quoted(line),
        )
    } else {
        return;
    };
    found.add("uv", identifier, Some(cause), line, subject);
}

fn pip(line: &str, message: &str, found: &mut Found) {
    let (identifier, cause, subject) =
        if let Some(package) = after(message, "No matching distribution found for ") {
            (
                "no matching distribution",
                Cause::DependencyNotFound,
                Some(package),
            )
        } else if message.starts_with("Invalid requirement") {
            ("invalid requirement", Cause::ManifestInvalid, quoted(message))
        } else if message.contains("ResolutionImpossible") {
            ("ResolutionImpossible", Cause::DependencyConflict, None)
        } else if let Some(package) = after(message, "Failed building wheel for ") {
            (
                "failed building wheel",
                Cause::DependencyNotCompilable,
                Some(package),
            )
        } else if message.contains("requires a different Python") {
            (
                "requires-python",
                Cause::RuntimeVersionMismatch,
                between(message, "Package '", "'"),
            )
        } else {
            return;
        };
    found.add("pip", identifier, Some(cause), line, subject);
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    fn uv(output: &str) -> Vec<String> {
        of(output, FindingContext::default())
    }

    #[test]
    fn a_missing_package_is_told_from_a_conflict() {
        let missing = "  × No solution found when resolving dependencies:\n  ╰─▶ Because nope was not found in the package registry and you require nope, we\n      can conclude that your requirements are unsatisfiable.\n";
        assert_eq!(uv(missing), ["uv no solution dependency_not_found nope"]);
        let version = "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of flask==99.0 and you require flask==99.0, we can\n";
        assert_eq!(uv(version), ["uv no solution dependency_not_found flask==99.0"]);
        let conflict = "  × No solution found when resolving dependencies:\n  ╰─▶ Because flask==3.0.3 depends on click>=8.1.3 and you require click==7.0, we can conclude\n";
        assert_eq!(uv(conflict), ["uv no solution dependency_conflict -"]);
    }

    #[test]
    fn invalid_requirements_name_the_file() {
        let output = "error: Couldn't parse requirement in `requirements.txt` at position 0\n  Caused by: no such comparison operator \"=\"\n";
        assert_eq!(
            uv(output),
            ["uv invalid requirement manifest_invalid requirements.txt"]
        );
        assert_eq!(
            uv("ERROR: Invalid requirement: 'flask=3' (from line 1 of requirements.txt)\n"),
            ["pip invalid requirement manifest_invalid flask=3"]
        );
    }

    #[test]
    fn what_cannot_be_compiled_is_named() {
        assert_eq!(
            uv("  × Failed to build `psycopg2==2.9.9`\n"),
            ["uv failed to build dependency_not_compilable psycopg2==2.9.9"]
        );
    }
}

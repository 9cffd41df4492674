//! pip: lines that begin with `ERROR:`.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "pip";

#[derive(Debug, Default)]
pub(super) struct Pip {
    /// Versions were passed over because they are for another Python; the error that follows does not say so.
    passed_over: Option<String>,
}

impl Scanner for Pip {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        // Whoever builds a wheel for another tool prints it indented.
        if let Some(message) = line.trim_start().strip_prefix("ERROR: ") {
            self.error(line, message.trim(), context, found);
        } else if line.trim_start().starts_with("error: metadata-generation-failed") {
            found.add(TOOL, "metadata-generation-failed", None, line, None);
        }
    }
}

impl Pip {
    fn error(&mut self, line: &str, message: &str, context: &FindingContext, found: &mut Found) {
        if message.contains("versions that require a different python version") {
            self.passed_over = Some(line.trim().to_owned());
            return;
        }
        if let Some(rest) = after(message, "Could not open requirements file:") {
            let path = quoted(rest.rsplit_once("directory:").map_or(rest, |(_, path)| path));
            let file = path.unwrap_or("requirements.txt");
            return found.explain(TOOL, "no requirements", context.file(file), line, Some(file));
        }
        if let Some(package) = uncompiled(message) {
            return found.not_compilable(TOOL, "failed building wheel", line, package);
        }
        let (identifier, cause, subject) =
            if let Some(package) = after(message, "No matching distribution found for ") {
                if let Some(reason) = self.passed_over.take() {
                    let cause = Some(Cause::RuntimeVersionMismatch);
                    return found.add(TOOL, "requires-python", cause, &reason, Some(package));
                }
                (
                    "no matching distribution",
                    Cause::DependencyNotFound,
                    Some(package),
                )
            } else if message.starts_with("Invalid requirement") {
                ("invalid requirement", Cause::ManifestInvalid, quoted(message))
            } else if message.contains("ResolutionImpossible") {
                ("ResolutionImpossible", Cause::DependencyConflict, None)
            } else if message.contains("DO NOT MATCH THE HASHES") {
                ("hashes", Cause::LockfileOutOfStep, None)
            } else if message.contains("requires a different Python") {
                (
                    "requires-python",
                    Cause::RuntimeVersionMismatch,
                    between(message, "Package '", "'"),
                )
            } else {
                return;
            };
        found.add(TOOL, identifier, Some(cause), line, subject);
    }
}

/// "Failed building wheel for lxml", "Failed to build 'psycopg2' when …", "Failed to build installable wheels for … (psycopg2)".
fn uncompiled(message: &str) -> Option<&str> {
    after(message, "Failed building wheel for ")
        .or_else(|| message.strip_prefix("Failed to build ").and_then(quoted))
        .or_else(|| between(message, "based projects (", ")"))
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    fn pip(output: &str) -> Vec<String> {
        of(output, FindingContext::default())
    }

    #[test]
    fn errors_name_what_they_are_about() {
        for (output, expected) in [
            (
                "ERROR: Invalid requirement: 'flask=3' (from line 1 of requirements.txt)",
                "pip invalid requirement manifest_invalid flask=3",
            ),
            (
                "ERROR: No matching distribution found for nope==1",
                "pip no matching distribution dependency_not_found nope==1",
            ),
            (
                "  ERROR: Failed building wheel for lxml",
                "pip failed building wheel dependency_not_compilable lxml",
            ),
            (
                "ERROR: Package 'shop' requires a different Python: 3.9.2 not in '>=3.11'",
                "pip requires-python runtime_version_mismatch shop",
            ),
        ] {
            assert_eq!(pip(output), [expected]);
        }
    }

    #[test]
    fn a_version_for_another_python_is_no_missing_package() {
        let output = "ERROR: Ignored the following versions that require a different python version: 9.0 Requires-Python >=3.99\n\
                      ERROR: Could not find a version that satisfies the requirement x==9.0 (from versions: 1.0)\n\
                      ERROR: No matching distribution found for x==9.0\n";
        assert_eq!(
            pip(output),
            ["pip requires-python runtime_version_mismatch x==9.0"]
        );
    }

    #[test]
    fn a_missing_requirements_file_says_where_it_is() {
        let output = "ERROR: Could not open requirements file: [Errno 2] No such file or directory: 'requirements.txt'\n";
        assert_eq!(
            of(output, context(&[("api/requirements.txt", "")], None))[0],
            "pip no requirements file_not_in_build_context requirements.txt | at api/requirements.txt"
        );
    }
}

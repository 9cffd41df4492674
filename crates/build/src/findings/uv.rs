//! uv. It prints a tree: the heading names the kind of error, the lines below the packages.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, quoted},
};

const TOOL: &str = "uv";

#[derive(Debug, Default)]
pub(super) struct Uv {
    /// The explanation of a failed resolution, as far as it was printed; `None` outside of one.
    explanation: Option<String>,
}

impl Scanner for Uv {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("No solution found when resolving") {
            self.explanation = Some(String::new());
            found.add(TOOL, "no solution", Some(Cause::DependencyConflict), line, None);
        } else if let Some(explanation) = &mut self.explanation {
            if line.starts_with(' ') {
                explain(explanation, line, found);
            } else {
                self.explanation = None;
                single_line(line, context, found);
            }
        } else {
            single_line(line, context, found);
        }
    }
}

/// "╰─▶ Because nope was not found in the package registry and you require nope, we can conclude …", broken into lines.
fn explain(explanation: &mut String, line: &str, found: &mut Found) {
    let text = match after(line, "Because ") {
        Some(reason) => reason,
        None if explanation.is_empty() => return,
        None => line,
    };
    if explanation.contains(" we can") || text.trim_start().starts_with("hint:") {
        return;
    }
    if !explanation.is_empty() {
        explanation.push(' ');
    }
    explanation.push_str(text.trim());
    let Some(finding) = found.latest(TOOL) else { return };
    let reason = explanation.split(", we can").next().unwrap_or_default();
    finding.line = format!("Because {reason}");
    let (cause, subject) = meaning(reason);
    finding.cause = Some(cause);
    finding.subject = subject.map(str::to_owned);
}

fn meaning(reason: &str) -> (Cause, Option<&str>) {
    if let Some((package, _)) = reason.split_once(" was not found in the package registry") {
        (Cause::DependencyNotFound, Some(package))
    } else if let Some(version) = reason.strip_prefix("there is no version of ") {
        (Cause::DependencyNotFound, version.split_whitespace().next())
    } else if reason.contains("current Python version") {
        (Cause::RuntimeVersionMismatch, None)
    } else if reason.contains("has no wheels with a matching platform") {
        // It is there, for another system.
        (Cause::DependencyNotFound, None)
    } else if reason.contains("has no wheels with a matching Python") {
        (Cause::RuntimeVersionMismatch, reason.split_whitespace().next())
    } else {
        (Cause::DependencyConflict, None)
    }
}

fn single_line(line: &str, context: &FindingContext, found: &mut Found) {
    if let Some(file) = after(line, "error: File not found: ").and_then(quoted) {
        return found.explain(TOOL, "file not found", context.file(file), line, Some(file));
    }
    if let Some(file) = after(line, "failed to read from file ").and_then(quoted) {
        return found.explain(TOOL, "included file", context.file(file), line, Some(file));
    }
    if let Some(path) = after(line, "Distribution not found at: file://") {
        let cause = (Cause::FileMissing, None);
        return found.explain(TOOL, "no distribution", cause, line, Some(path.trim()));
    }
    if line.contains("No `pyproject.toml` found in") {
        return found.explain(
            TOOL,
            "no project",
            context.file("pyproject.toml"),
            line,
            Some("pyproject.toml"),
        );
    }
    if line.contains("Unable to find lockfile at") {
        let cause = (Cause::LockfileMissing, context.lock_file(&["uv.lock"]));
        return found.explain(TOOL, "no lockfile", cause, line, quoted(line));
    }
    let failed = after(line, "Failed to build ").and_then(quoted);
    if let Some(project) = failed.filter(|name| name.contains(" @ file://")) {
        // The app itself, by its own build system, which says why below.
        let name = project.split(' ').next();
        return found.add(TOOL, "own package", Some(Cause::ManifestInvalid), line, name);
    }
    if let Some(package) = failed.filter(|_| line.contains("× ") || line.starts_with("error: ")) {
        return found.not_compilable(TOOL, "failed to build", line, package);
    }
    let (identifier, cause, subject) = if line.contains("Couldn't parse requirement in") {
        ("invalid requirement", Cause::ManifestInvalid, quoted(line))
    } else if line.contains("Failed to parse metadata") || line.contains("Failed to parse: `pyproject.toml`")
    {
        ("invalid manifest", Cause::ManifestInvalid, quoted(line))
    } else if line.contains("The lockfile at") && line.contains("needs to be updated") {
        ("--locked", Cause::LockfileOutOfStep, quoted(line))
    } else if line.contains("Hash mismatch for") {
        ("hash mismatch", Cause::LockfileOutOfStep, quoted(line))
    } else if line.contains("incompatible with the project's Python requirement")
        || line.contains("No interpreter found for Python ")
    {
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
    found.add(TOOL, identifier, Some(cause), line, subject);
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

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
        let windows = "  × No solution found when resolving dependencies:\n  ╰─▶ Because pywin32==306 has no wheels with a matching platform tag (e.g.,\n      `manylinux_2_36_x86_64`) and you require pywin32==306, we can\n";
        assert_eq!(uv(windows), ["uv no solution dependency_not_found -"]);
    }

    #[test]
    fn an_explanation_over_several_lines_is_read_whole() {
        let output = "  × No solution found when resolving dependencies:\n  ╰─▶ Because the current Python version (3.11.2) does not satisfy\n      \
                      Python>=3.6,<3.7 and dataclasses==0.8 depends on Python>=3.6,<3.7, we can\n      conclude that dataclasses==0.8 cannot be used.\n";
        let mut findings = super::super::Findings::new(FindingContext::default());
        output.lines().for_each(|line| findings.line(line));
        let found = findings.into_vec();
        assert_eq!(
            found[0].cause,
            Some(mainstay_diagnosis::Cause::RuntimeVersionMismatch)
        );
        assert!(
            found[0]
                .line
                .ends_with("dataclasses==0.8 depends on Python>=3.6,<3.7"),
            "{}",
            found[0].line
        );
    }

    #[test]
    fn invalid_requirements_name_the_file() {
        let output = "error: Couldn't parse requirement in `requirements.txt` at position 0\n  Caused by: no such comparison operator \"=\"\n";
        assert_eq!(
            uv(output),
            ["uv invalid requirement manifest_invalid requirements.txt"]
        );
    }

    #[test]
    fn the_app_itself_is_told_from_what_it_depends_on() {
        assert_eq!(
            uv(
                "error: Failed to build `shop @ file:///workspace`\n  cause: The build backend returned an error\n"
            ),
            ["uv own package manifest_invalid shop"]
        );
        assert_eq!(
            uv("  × Failed to build `lxml==5.0.0`\n"),
            ["uv failed to build dependency_not_compilable lxml==5.0.0"]
        );
    }

    #[test]
    fn missing_files_are_held_against_the_source() {
        assert_eq!(
            of(
                "error: File not found: `requirements.txt`\n",
                context(&[("Requirements.txt", "")], None)
            ),
            ["uv file not found file_name_case requirements.txt | spelt Requirements.txt"]
        );
        assert_eq!(
            of(
                "  cause: failed to read from file `/workspace/requirements/prod.txt`: No such file or directory (os error 2)\n",
                context(&[("requirements/production.txt", "")], None)
            )[0],
            "uv included file file_missing /workspace/requirements/prod.txt"
        );
        assert_eq!(
            uv("error: Distribution not found at: file:///home/conda/work\n"),
            ["uv no distribution file_missing /home/conda/work"]
        );
        assert_eq!(
            of(
                "error: Unable to find lockfile at `uv.lock`. To create a lockfile, run `uv lock`\n",
                context(&[(".gitignore", "uv.lock\n")], None)
            ),
            ["uv no lockfile lockfile_missing uv.lock | uv.lock by .gitignore line 1: uv.lock"]
        );
    }
}

//! pnpm: `ERR_PNPM_…` (<https://pnpm.io/errors>).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, package_of, quoted, word_with},
};

const TOOL: &str = "pnpm";

#[derive(Debug, Default)]
pub(super) struct Pnpm {
    /// An unsupported engine is being explained.
    explains_engine: bool,
    /// What was said of a lock file that another pnpm wrote.
    ignored: Option<String>,
}

impl Scanner for Pnpm {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("Ignoring not compatible lockfile") {
            self.ignored = Some(line.trim().to_owned());
        }
        if line.contains("Headless installation requires a pnpm-lock.yaml file")
            && let Some(line) = self.ignored.take()
        {
            return Self::other_version(&line, found);
        }
        let Some(code) = word_with(line, "ERR_PNPM_") else {
            return self.explain(line, found);
        };
        self.explains_engine = code == "ERR_PNPM_UNSUPPORTED_ENGINE";
        match code {
            // To this pnpm it is as good as none.
            "ERR_PNPM_NO_LOCKFILE" if self.ignored.is_some() => {
                let line = self.ignored.take().unwrap_or_default();
                return Self::other_version(&line, found);
            }
            "ERR_PNPM_NO_LOCKFILE" => {
                let cause = (Cause::LockfileMissing, context.lock_file(&["pnpm-lock.yaml"]));
                return found.explain(TOOL, code, cause, line, Some("pnpm-lock.yaml"));
            }
            "ERR_PNPM_NO_PKG_MANIFEST" => {
                return found.explain(
                    TOOL,
                    code,
                    context.file("package.json"),
                    line,
                    Some("package.json"),
                );
            }
            "ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL" if line.contains("Command \"") => {
                let program = after(line, "Command ").and_then(quoted).unwrap_or_default();
                return found.explain(TOOL, code, context.program(program), line, Some(program));
            }
            _ => {}
        }
        let subject = match code {
            "ERR_PNPM_OUTDATED_LOCKFILE" | "ERR_PNPM_LOCKFILE_BREAKING_CHANGE" => Some("pnpm-lock.yaml"),
            "ERR_PNPM_NO_SCRIPT" => after(line, "Missing script: "),
            "ERR_PNPM_NO_MATCHING_VERSION" => after(line, "No matching version found for ").map(package_of),
            "ERR_PNPM_FETCH_404" => after(line, "GET ").and_then(|rest| rest.split(": ").next()),
            _ => None,
        };
        found.add(TOOL, code, cause_of(code), line, subject);
    }
}

impl Pnpm {
    fn other_version(line: &str, found: &mut Found) {
        let cause = Some(Cause::LockfileOutOfStep);
        found.add(
            TOOL,
            "lock file of another version",
            cause,
            line,
            Some("pnpm-lock.yaml"),
        );
    }

    /// "Expected version: >=99", "Got: v22.1.0".
    fn explain(&self, line: &str, found: &mut Found) {
        let line = line.trim();
        if !self.explains_engine || !(line.starts_with("Expected version:") || line.starts_with("Got:")) {
            return;
        }
        if let Some(finding) = found.latest(TOOL) {
            finding.line = format!("{}; {line}", finding.line);
        }
    }
}

fn cause_of(code: &str) -> Option<Cause> {
    Some(match code {
        "ERR_PNPM_OUTDATED_LOCKFILE"
        | "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH"
        | "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"
        | "ERR_PNPM_TARBALL_INTEGRITY"
        | "ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE" => Cause::LockfileOutOfStep,
        "ERR_PNPM_NO_MATCHING_VERSION"
        | "ERR_PNPM_FETCH_404"
        | "ERR_PNPM_NO_VERSIONS"
        | "ERR_PNPM_FETCH_401"
        | "ERR_PNPM_FETCH_403" => Cause::DependencyNotFound,
        "ERR_PNPM_PEER_DEP_ISSUES" => Cause::DependencyConflict,
        "ERR_PNPM_UNSUPPORTED_ENGINE" | "ERR_PNPM_BAD_PM_VERSION" => Cause::RuntimeVersionMismatch,
        "ERR_PNPM_NO_SCRIPT" | "ERR_PNPM_NO_SCRIPT_OR_SERVER" => Cause::ScriptMissing,
        "ERR_PNPM_JSON_PARSE" | "ERR_PNPM_BAD_PACKAGE_JSON" => Cause::ManifestInvalid,
        "ERR_PNPM_META_FETCH_FAIL" => Cause::DependencyRegistryUnreachable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn codes_become_causes() {
        let output = " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \"frozen-lockfile\" because pnpm-lock.yaml is not up to date\n\
                      ERR_PNPM_NO_MATCHING_VERSION  No matching version found for left-pad@99.0.0\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "pnpm ERR_PNPM_OUTDATED_LOCKFILE lockfile_out_of_step pnpm-lock.yaml",
                "pnpm ERR_PNPM_NO_MATCHING_VERSION dependency_not_found left-pad",
            ]
        );
    }

    #[test]
    fn a_lock_file_of_another_pnpm_is_not_missing() {
        let output = " WARN  Ignoring not compatible lockfile at /workspace/pnpm-lock.yaml\n \
                      ERR_PNPM_NO_LOCKFILE  Cannot install with \"frozen-lockfile\" because pnpm-lock.yaml is absent\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["pnpm lock file of another version lockfile_out_of_step pnpm-lock.yaml"]
        );
    }

    #[test]
    fn a_lock_file_that_was_not_committed_names_the_rule() {
        let output = " ERR_PNPM_NO_LOCKFILE  Cannot install with \"frozen-lockfile\" because pnpm-lock.yaml is absent\n";
        assert_eq!(
            of(output, context(&[(".gitignore", "*-lock.yaml\n")], None)),
            [
                "pnpm ERR_PNPM_NO_LOCKFILE lockfile_missing pnpm-lock.yaml | pnpm-lock.yaml by .gitignore line 1: *-lock.yaml"
            ]
        );
    }
}

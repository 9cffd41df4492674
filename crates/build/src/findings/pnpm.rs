//! pnpm: `ERR_PNPM_…` (https://pnpm.io/errors).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, package_of, word_with},
};

#[derive(Debug)]
pub(super) struct Pnpm;

impl Scanner for Pnpm {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        let Some(code) = word_with(line, "ERR_PNPM_") else {
            return;
        };
        let cause = match code {
            "ERR_PNPM_OUTDATED_LOCKFILE"
            | "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH"
            | "ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE" => Some(Cause::LockfileOutOfStep),
            "ERR_PNPM_NO_LOCKFILE" => Some(Cause::LockfileMissing),
            "ERR_PNPM_NO_MATCHING_VERSION" | "ERR_PNPM_FETCH_404" | "ERR_PNPM_NO_VERSIONS" => {
                Some(Cause::DependencyNotFound)
            }
            "ERR_PNPM_PEER_DEP_ISSUES" => Some(Cause::DependencyConflict),
            "ERR_PNPM_UNSUPPORTED_ENGINE" | "ERR_PNPM_BAD_PM_VERSION" => Some(Cause::RuntimeVersionMismatch),
            "ERR_PNPM_NO_SCRIPT" | "ERR_PNPM_NO_SCRIPT_OR_SERVER" => Some(Cause::ScriptMissing),
            "ERR_PNPM_JSON_PARSE" | "ERR_PNPM_BAD_PACKAGE_JSON" => Some(Cause::ManifestInvalid),
            "ERR_PNPM_META_FETCH_FAIL" => Some(Cause::DependencyRegistryUnreachable),
            _ => None,
        };
        let subject = match code {
            "ERR_PNPM_OUTDATED_LOCKFILE" => Some("pnpm-lock.yaml"),
            "ERR_PNPM_NO_SCRIPT" => after(line, "Missing script: "),
            "ERR_PNPM_NO_MATCHING_VERSION" => after(line, "No matching version found for ").map(package_of),
            _ => None,
        };
        found.add("pnpm", code, cause, line, subject);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

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
}

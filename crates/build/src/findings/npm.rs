//! npm 7 and later: `npm error code E…` (before npm 10: `npm ERR! code E…`), then lines that say more.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, package_of, quoted},
};

const TOOL: &str = "npm";

#[derive(Debug, Default)]
pub(super) struct Npm {
    /// The code of the error that is being printed.
    code: String,
}

impl Scanner for Npm {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        let Some(message) = after(line, "npm error ").or_else(|| after(line, "npm ERR! ")) else {
            return;
        };
        let message = message.trim();
        if let Some(code) = message.strip_prefix("code ") {
            code.trim().clone_into(&mut self.code);
            // Numbers are the exit code of a package's script, whose own tool says more.
            if code.starts_with('E') {
                found.add(TOOL, code.trim(), cause_of(code.trim()), line, None);
            }
        } else if let Some(script) = message.strip_prefix("Missing script:") {
            found.add(
                TOOL,
                "missing script",
                Some(Cause::ScriptMissing),
                line,
                quoted(script),
            );
        } else {
            self.complete(message, found);
        }
    }
}

impl Npm {
    /// The lines after the code name the package and what is wrong with it.
    fn complete(&self, message: &str, found: &mut Found) {
        let Some(finding) = found
            .latest(TOOL)
            .filter(|finding| finding.identifier == self.code)
        else {
            return;
        };
        let (cause, subject) = match self.code.as_str() {
            "EUSAGE" if message.contains("in sync") => (Some(Cause::LockfileOutOfStep), None),
            "EUSAGE" if message.contains("existing package-lock.json") => {
                (Some(Cause::LockfileMissing), None)
            }
            // "Missing: left-pad@1.3.0 from lock file", "Invalid: lock file's a@1 does not satisfy a@2"
            "EUSAGE" if message.starts_with("Missing:") || message.starts_with("Invalid:") => {
                (Some(Cause::LockfileOutOfStep), Some("package-lock.json"))
            }
            "E404" => (
                finding.cause,
                quoted(message).filter(|_| message.contains("not in this registry")),
            ),
            "ETARGET" => (finding.cause, after(message, "No matching version found for ")),
            "ERESOLVE"
                if message.starts_with("Could not resolve") || message.starts_with("While resolving:") =>
            {
                (finding.cause, after(message, "While resolving:"))
            }
            "EBADENGINE" if message.contains("Required:") => (finding.cause, None),
            "EJSONPARSE" if message.contains("JSON") => (finding.cause, Some("package.json")),
            _ => return,
        };
        let is_telling = finding.subject.is_none();
        finding.cause = cause;
        if is_telling {
            message.clone_into(&mut finding.line);
            finding.subject = subject.map(|subject| package_of(subject).to_owned());
        }
    }
}

/// https://docs.npmjs.com: codes are stable, sentences are not.
fn cause_of(code: &str) -> Option<Cause> {
    Some(match code {
        "ERESOLVE" => Cause::DependencyConflict,
        "ETARGET" | "E404" => Cause::DependencyNotFound,
        "EBADENGINE" | "ENOTSUP" => Cause::RuntimeVersionMismatch,
        "EJSONPARSE" | "EINVALIDPACKAGENAME" | "EINVALIDTAGNAME" => Cause::ManifestInvalid,
        "ENOLOCK" => Cause::LockfileMissing,
        "ENOTFOUND" | "ETIMEDOUT" | "ECONNRESET" | "ECONNREFUSED" | "EAI_AGAIN" | "E502" | "E503"
        | "ERR_SOCKET_TIMEOUT" => Cause::DependencyRegistryUnreachable,
        "ENOSPC" => Cause::DiskFull,
        "EACCES" | "EPERM" => Cause::PermissionDenied,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    fn npm(output: &str) -> Vec<String> {
        of(output, FindingContext::default())
    }

    #[test]
    fn a_lock_file_out_of_step_is_told_from_a_missing_one() {
        let out_of_step = "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your package.json and \
                           package-lock.json or npm-shrinkwrap.json are in sync.\nnpm error\nnpm error Missing: left-pad@1.3.0 from lock file\n";
        assert_eq!(
            npm(out_of_step),
            ["npm EUSAGE lockfile_out_of_step package-lock.json"]
        );
        let missing = "npm ERR! code EUSAGE\nnpm ERR!\nnpm ERR! The `npm ci` command can only install with an existing package-lock.json or\n";
        assert_eq!(npm(missing), ["npm EUSAGE lockfile_missing -"]);
    }

    #[test]
    fn packages_are_named() {
        let not_found = "npm error code E404\nnpm error 404 Not Found - GET https://r.example/nope - Not found\nnpm error 404\n\
                         npm error 404  'nope@^1.0.0' is not in this registry.\n";
        assert_eq!(npm(not_found), ["npm E404 dependency_not_found nope"]);
        let no_version =
            "npm error code ETARGET\nnpm error notarget No matching version found for express@99.0.0.\n";
        assert_eq!(npm(no_version), ["npm ETARGET dependency_not_found express"]);
        let conflict = "npm error code ERESOLVE\nnpm error ERESOLVE unable to resolve dependency tree\nnpm error\n\
                        npm error While resolving: shop@1.0.0\nnpm error Found: react@18.2.0\n";
        assert_eq!(npm(conflict), ["npm ERESOLVE dependency_conflict shop"]);
    }

    #[test]
    fn a_missing_script_is_named() {
        assert_eq!(
            npm("npm error Missing script: \"build\"\n"),
            ["npm missing script script_missing build"]
        );
    }
}

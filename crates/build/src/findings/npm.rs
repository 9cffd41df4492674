//! npm 7 and later: `npm error code E…` (before npm 10: `npm ERR! code E…`), then lines that say more.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, package_of, quoted},
};

const TOOL: &str = "npm";
const LOCK_FILES: &[&str] = &["package-lock.json", "npm-shrinkwrap.json"];

/// How npm says it of a package; the second, of later ones.
const NOT_FOUND: &[&str] = &[
    "not in this registry",
    "could not be found or you do not have permission",
];

#[derive(Debug, Default)]
pub(super) struct Npm {
    /// The code of the error that is being printed.
    code: String,
}

impl Scanner for Npm {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
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
        } else if let Some(package) = compiled_package(message).filter(|_| self.code.parse::<u32>().is_ok()) {
            found.not_compilable(TOOL, "install script", line, package);
        } else {
            self.complete(message, context, found);
        }
    }
}

/// "path /workspace/node_modules/bcrypt": whose install script failed.
fn compiled_package(message: &str) -> Option<&str> {
    let path = message.strip_prefix("path ")?;
    path.rsplit_once("/node_modules/").map(|(_, package)| package)
}

impl Npm {
    /// The lines after the code name the package and what is wrong with it.
    fn complete(&self, message: &str, context: &FindingContext, found: &mut Found) {
        let Some(finding) = found
            .latest(TOOL)
            .filter(|finding| finding.identifier == self.code)
        else {
            return;
        };
        let (cause, subject) = match self.code.as_str() {
            "EUSAGE" if message.contains("in sync") => (Some(Cause::LockfileOutOfStep), None),
            "EUSAGE" if message.contains("existing package-lock.json") => {
                finding.clue = context.lock_file(LOCK_FILES);
                (Some(Cause::LockfileMissing), Some(LOCK_FILES[0]))
            }
            // "Missing: left-pad@1.3.0 from lock file", "Invalid: lock file's a@1 does not satisfy a@2"
            "EUSAGE" if message.starts_with("Missing:") || message.starts_with("Invalid:") => {
                (Some(Cause::LockfileOutOfStep), Some(LOCK_FILES[0]))
            }
            "E401" | "E403" if message.starts_with("40") => (finding.cause, None),
            "E404" => (
                finding.cause,
                quoted(message).filter(|_| NOT_FOUND.iter().any(|words| message.contains(words))),
            ),
            "ETARGET" => (finding.cause, after(message, "No matching version found for ")),
            "ERESOLVE"
                if message.starts_with("Could not resolve") || message.starts_with("While resolving:") =>
            {
                (finding.cause, after(message, "While resolving:"))
            }
            "EBADENGINE" | "ENOTSUP" if message.contains("Not compatible") => {
                (finding.cause, message.rsplit(": ").next())
            }
            "EBADENGINE" | "ENOTSUP" if message.contains("Required:") => {
                message.clone_into(&mut finding.line);
                return;
            }
            // "workspace:" is what pnpm, yarn and bun read, at the root of the workspace.
            "EUNSUPPORTEDPROTOCOL" if message.starts_with("Unsupported URL Type") => {
                (finding.cause, quoted(message))
            }
            "EJSONPARSE" if message.contains("JSON") => (finding.cause, Some("package.json")),
            "ENOENT" if message.starts_with("path ") => {
                let path = message.trim_start_matches("path ");
                let (cause, clue) = context.file(path);
                finding.clue = clue;
                (Some(cause), Some(path))
            }
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

/// <https://docs.npmjs.com>: codes are stable, sentences are not.
fn cause_of(code: &str) -> Option<Cause> {
    Some(match code {
        "ERESOLVE" => Cause::DependencyConflict,
        "ETARGET" | "E404" | "E401" | "E403" => Cause::DependencyNotFound,
        "EBADENGINE" | "ENOTSUP" => Cause::RuntimeVersionMismatch,
        "EJSONPARSE" | "EINVALIDPACKAGENAME" | "EINVALIDTAGNAME" | "EUNSUPPORTEDPROTOCOL" => {
            Cause::ManifestInvalid
        }
        "ENOLOCK" => Cause::LockfileMissing,
        "EINTEGRITY" => Cause::LockfileOutOfStep,
        "ENOTFOUND" | "ETIMEDOUT" | "ECONNRESET" | "ECONNREFUSED" | "EAI_AGAIN" | "E502" | "E503"
        | "ERR_SOCKET_TIMEOUT" => Cause::DependencyRegistryUnreachable,
        "ENOSPC" => Cause::DiskFull,
        "EACCES" | "EPERM" => Cause::PermissionDenied,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    fn npm(output: &str) -> Vec<String> {
        of(output, FindingContext::default())
    }

    const NO_LOCK: &str = "npm ERR! code EUSAGE\nnpm ERR!\nnpm ERR! The `npm ci` command can only install with an existing package-lock.json or\n";

    #[test]
    fn a_lock_file_out_of_step_is_told_from_a_missing_one() {
        let out_of_step = "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your package.json and \
                           package-lock.json or npm-shrinkwrap.json are in sync.\nnpm error\nnpm error Missing: left-pad@1.3.0 from lock file\n";
        assert_eq!(
            npm(out_of_step),
            ["npm EUSAGE lockfile_out_of_step package-lock.json"]
        );
        assert_eq!(npm(NO_LOCK), ["npm EUSAGE lockfile_missing package-lock.json"]);
    }

    #[test]
    fn a_missing_lock_file_says_what_keeps_it_out_or_what_is_there_instead() {
        let ignored = context(&[(".gitignore", "dist\npackage-lock.json\n")], None);
        assert_eq!(
            of(NO_LOCK, ignored),
            [
                "npm EUSAGE lockfile_missing package-lock.json | package-lock.json by .gitignore line 2: package-lock.json"
            ]
        );
        let other = context(&[("yarn.lock", "")], None);
        assert_eq!(
            of(NO_LOCK, other),
            ["npm EUSAGE lockfile_missing package-lock.json | others yarn.lock"]
        );
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
        let engine = "npm error code EBADENGINE\nnpm error engine Unsupported engine\nnpm error engine Not compatible with your version of node/npm: shop@1.0.0\n\
                      npm error notsup Required: {\"node\":\">=99\"}\n";
        assert_eq!(npm(engine), ["npm EBADENGINE runtime_version_mismatch shop"]);
        let native = "npm error code 1\nnpm error path /workspace/node_modules/bcrypt\nnpm error gyp ERR! stack Error: not found: make\n";
        assert_eq!(
            npm(native),
            ["npm install script dependency_not_compilable bcrypt | needs make"]
        );
    }

    #[test]
    fn a_dependency_on_another_part_of_a_workspace_is_named() {
        let output = "npm error code EUNSUPPORTEDPROTOCOL\nnpm error Unsupported URL Type \"workspace:\": workspace:*\n";
        assert_eq!(
            npm(output),
            ["npm EUNSUPPORTEDPROTOCOL manifest_invalid workspace:"]
        );
    }

    #[test]
    fn a_missing_script_is_named() {
        assert_eq!(
            npm("npm error Missing script: \"build\"\n"),
            ["npm missing script script_missing build"]
        );
    }

    #[test]
    fn a_manifest_that_was_not_copied_is_told_from_one_that_lies_elsewhere() {
        let output = "npm error code ENOENT\nnpm error syscall open\nnpm error path /app/package.json\n";
        assert_eq!(
            of(output, context(&[("package.json", "{}")], None)),
            ["npm ENOENT file_missing /app/package.json | not copied package.json"]
        );
        assert_eq!(
            of(output, context(&[("web/package.json", "{}")], None)),
            ["npm ENOENT file_not_in_build_context /app/package.json | at web/package.json"]
        );
    }
}

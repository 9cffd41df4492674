//! Bun: `error: …`, which is the same for every version; what is said around it (`note: …`) is not read.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "bun";

#[derive(Debug)]
pub(super) struct Bun;

impl Scanner for Bun {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        let Some(message) = line.strip_prefix("error: ") else {
            return;
        };
        let (identifier, cause, subject) =
            if message.starts_with("lockfile had changes, but lockfile is frozen") {
                ("frozen lockfile", Cause::LockfileOutOfStep, Some("bun.lock"))
            } else if let Some(package) = missing_version(message) {
                ("no version", Cause::DependencyNotFound, Some(package))
            } else if let Some(package) = message.strip_suffix(" failed to resolve") {
                ("failed to resolve", Cause::DependencyNotFound, Some(package))
            } else if message.starts_with("Script not found ") {
                ("script not found", Cause::ScriptMissing, quoted(message))
            } else {
                return;
            };
        found.add(TOOL, identifier, Some(cause), line, subject);
    }
}

/// "No version matching "99" found for specifier "ms" (but package exists)".
fn missing_version(message: &str) -> Option<&str> {
    between(message, "No version matching ", " found for specifier")?;
    after(message, "found for specifier ").and_then(quoted)
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn errors_name_what_they_are_about() {
        for (output, expected) in [
            (
                "error: lockfile had changes, but lockfile is frozen\nnote: ms was added\n",
                "bun frozen lockfile lockfile_out_of_step bun.lock",
            ),
            (
                "error: No version matching \"99\" found for specifier \"ms\" (but package exists)\n",
                "bun no version dependency_not_found ms",
            ),
            (
                "error: GET https://registry.example/nope - 404\nerror: nope@1 failed to resolve\n",
                "bun failed to resolve dependency_not_found nope@1",
            ),
            (
                "error: Script not found \"build\"\n",
                "bun script not found script_missing build",
            ),
        ] {
            assert_eq!(of(output, FindingContext::default()), [expected], "{output}");
        }
    }
}

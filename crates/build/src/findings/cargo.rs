//! Cargo and rustc.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "cargo";

#[derive(Debug, Default)]
pub(super) struct Cargo {
    /// An error was printed; its place follows on a line of its own.
    wants_place: bool,
}

impl Scanner for Cargo {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(place) = line.trim_start().strip_prefix("--> ") {
            self.place(place, found);
            return;
        }
        let Some(message) = line
            .strip_prefix("error: ")
            .or_else(|| line.strip_prefix("error["))
        else {
            return;
        };
        if let Some(package) = after(message, "failed to run custom build command for ").and_then(quoted) {
            found.not_compilable(TOOL, "build script", line, package);
        } else if let Some(path) = after(message, "couldn't read ").map(|rest| quoted(rest).unwrap_or(rest)) {
            let path = path.split(": ").next().unwrap_or(path);
            found.explain(TOOL, "couldn't read", context.file(path), line, Some(path));
        } else if message.starts_with("could not find `Cargo.toml`") {
            found.explain(
                TOOL,
                "no manifest",
                context.file("Cargo.toml"),
                line,
                Some("Cargo.toml"),
            );
        } else if is_locked(message) {
            let cause = match context.lock_file(&["Cargo.lock"]) {
                Some(clue) => (Cause::LockfileMissing, Some(clue)),
                None => (Cause::LockfileOutOfStep, None),
            };
            found.explain(TOOL, "--locked", cause, line, Some("Cargo.lock"));
        } else if let Some((identifier, cause, subject)) = sentence(message) {
            found.add(TOOL, identifier, Some(cause), line, subject);
        } else if line.starts_with("error[") {
            self.wants_place = true;
            let code = message.split(']').next().unwrap_or_default();
            found.add("rustc", code, Some(Cause::CompileError), line, None);
        }
    }
}

impl Cargo {
    fn place(&mut self, place: &str, found: &mut Found) {
        if !std::mem::take(&mut self.wants_place) {
            return;
        }
        if let Some(finding) = found.latest("rustc").filter(|finding| finding.subject.is_none()) {
            finding.subject = Some(place.trim().to_owned());
        }
    }
}

fn is_locked(message: &str) -> bool {
    message.contains("--locked") && (message.contains("needs to be updated") || message.contains("cannot "))
}

fn sentence(message: &str) -> Option<(&'static str, Cause, Option<&str>)> {
    if message.contains("no matching package named")
        || message.contains("failed to select a version for the requirement")
    {
        Some(("no matching package", Cause::DependencyNotFound, quoted(message)))
    } else if message.starts_with("failed to select a version for") {
        Some(("no version fits", Cause::DependencyConflict, quoted(message)))
    } else if message.contains("requires rustc")
        || message.contains("is not supported by the following package")
    {
        Some(("rust-version", Cause::RuntimeVersionMismatch, quoted(message)))
    } else if message.contains("feature `edition20") && message.contains("is required") {
        Some(("edition", Cause::RuntimeVersionMismatch, quoted(message)))
    } else if message.starts_with("failed to parse manifest") || message.starts_with("failed to parse the `")
    {
        Some(("manifest", Cause::ManifestInvalid, between(message, "at `", "`")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn errors_of_the_compiler_have_their_place() {
        let output = "error[E0425]: cannot find value `x` in this scope\n --> src/main.rs:3:5\n  |\nerror: could not compile `shop` (bin \"shop\")\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["rustc E0425 compile_error src/main.rs:3:5"]
        );
    }

    #[test]
    fn cargos_sentences_become_causes() {
        for (line, expected) in [
            (
                "error: the lock file /app/Cargo.lock needs to be updated but --locked was passed to prevent this",
                "cargo --locked lockfile_out_of_step Cargo.lock",
            ),
            (
                "error: no matching package named `nope` found",
                "cargo no matching package dependency_not_found nope",
            ),
            (
                "error: package `clap v4.5.0` cannot be built because it requires rustc 1.90 or newer",
                "cargo rust-version runtime_version_mismatch clap v4.5.0",
            ),
            (
                "error: failed to run custom build command for `openssl-sys v0.9.100`",
                "cargo build script dependency_not_compilable openssl-sys v0.9.100",
            ),
        ] {
            assert_eq!(of(line, FindingContext::default()), [expected]);
        }
        let ignored = context(&[(".gitignore", "Cargo.lock\n")], None);
        let line = "error: cannot create the lock file /app/Cargo.lock because --locked was passed to prevent this\n";
        assert_eq!(
            of(line, ignored),
            ["cargo --locked lockfile_missing Cargo.lock | Cargo.lock by .gitignore line 1: Cargo.lock"]
        );
    }
}

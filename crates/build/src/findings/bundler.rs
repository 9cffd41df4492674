//! Bundler (Ruby).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "bundler";

#[derive(Debug)]
pub(super) struct Bundler;

impl Scanner for Bundler {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        let message = line.trim();
        if message.starts_with("Could not locate Gemfile") {
            found.explain(
                TOOL,
                "no manifest",
                context.file("Gemfile"),
                line,
                Some("Gemfile"),
            );
        } else if message.contains("deployment setting requires a lockfile")
            || message.contains("requires a Gemfile.lock")
        {
            let cause = (Cause::LockfileMissing, context.lock_file(&["Gemfile.lock"]));
            found.explain(TOOL, "no lockfile", cause, line, Some("Gemfile.lock"));
        } else if let Some(gem) = between(
            message,
            "An error occurred while installing ",
            ", and Bundler cannot continue",
        ) {
            found.not_compilable(TOOL, "native extension", line, gem);
        } else if let Some(program) = after(message, "bundler: command not found: ") {
            found.explain(
                TOOL,
                "command not found",
                context.program(program),
                line,
                Some(program),
            );
        } else if let Some((identifier, cause, subject)) = sentence(message) {
            found.add(TOOL, identifier, Some(cause), line, subject);
        }
    }
}

fn sentence(message: &str) -> Option<(&'static str, Cause, Option<&str>)> {
    if message.starts_with("Your Ruby version is ") {
        Some(("ruby version", Cause::RuntimeVersionMismatch, None))
    } else if message.contains("frozen mode is set") || message.contains("in deployment mode after changing")
    {
        Some(("frozen", Cause::LockfileOutOfStep, Some("Gemfile.lock")))
    } else if message.starts_with("Could not find gem ") {
        Some(("no such gem", Cause::DependencyNotFound, quoted(message)))
    } else if message.contains("could not find compatible versions") {
        Some(("no version fits", Cause::DependencyConflict, None))
    } else if message.contains("There was an error parsing `Gemfile`") {
        Some(("invalid manifest", Cause::ManifestInvalid, Some("Gemfile")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn bundlers_sentences_become_causes() {
        for (line, expected) in [
            (
                "Your Ruby version is 3.1.7, but your Gemfile specified 3.3.7",
                "bundler ruby version runtime_version_mismatch -",
            ),
            (
                "The dependencies in your gemfile changed, but the lockfile can't be updated because frozen mode is set",
                "bundler frozen lockfile_out_of_step Gemfile.lock",
            ),
            (
                "An error occurred while installing pg (1.5.4), and Bundler cannot continue.",
                "bundler native extension dependency_not_compilable pg (1.5.4)",
            ),
            (
                "bundler: command not found: rake",
                "bundler command not found command_not_found rake",
            ),
        ] {
            assert_eq!(of(line, FindingContext::default()), [expected]);
        }
    }
}

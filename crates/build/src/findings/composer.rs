//! Composer (PHP).

use mainstay_diagnosis::{Cause, facts::Clue};

use super::{
    FindingContext, Found, Scanner,
    text::{after, between},
};

const TOOL: &str = "composer";

#[derive(Debug, Default)]
pub(super) struct Composer {
    /// Numbered problems are being explained.
    explains: bool,
}

impl Scanner for Composer {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        let message = line.trim();
        if message.contains("requirements could not be resolved to an installable set") {
            self.explains = true;
            found.add(TOOL, "unresolvable", Some(Cause::DependencyConflict), line, None);
        } else if message.starts_with("Composer could not find a composer.json") {
            found.explain(
                TOOL,
                "no manifest",
                context.file("composer.json"),
                line,
                Some("composer.json"),
            );
        } else if message.contains("is not present in the lock file")
            || message.contains("lock file does not contain a compatible set")
        {
            self.explains = true;
            found.add(
                TOOL,
                "lock file",
                Some(Cause::LockfileOutOfStep),
                line,
                Some("composer.lock"),
            );
        } else if message.contains("\"./composer.json\" does not contain valid JSON") {
            found.add(
                TOOL,
                "invalid manifest",
                Some(Cause::ManifestInvalid),
                line,
                Some("composer.json"),
            );
        } else if let Some(bytes) = between(message, "Allowed memory size of ", " bytes exhausted") {
            found.add(
                "php",
                "memory_limit",
                Some(Cause::OwnHeapLimit),
                line,
                Some(bytes),
            );
        } else if let Some(problem) = message.strip_prefix("- ").filter(|_| self.explains) {
            explain(line, problem, found);
        }
    }
}

/// "Root composer.json requires php ^8.4 but your php version (8.2.7) does not satisfy that requirement."
fn explain(line: &str, problem: &str, found: &mut Found) {
    let required = after(problem, " requires ").and_then(|rest| rest.split([' ', ',']).next());
    let Some(required) = required else { return };
    let Some(finding) = found.latest(TOOL) else { return };
    let cause = if let Some(extension) = required.strip_prefix("ext-") {
        let what = format!("the PHP extension {extension}");
        finding.clue = Some(Clue::Needs { what });
        Cause::DependencyNotCompilable
    } else if required == "php" && problem.contains("your php version") {
        Cause::RuntimeVersionMismatch
    } else if problem.contains("could not be found in any version")
        || problem.contains("could not be found, it looks like")
    {
        Cause::DependencyNotFound
    } else {
        return;
    };
    finding.cause = Some(cause);
    finding.subject = Some(required.to_owned());
    line.trim().clone_into(&mut finding.line);
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    fn composer(problem: &str) -> Vec<String> {
        let output = format!(
            "Your requirements could not be resolved to an installable set of packages.\n\n  Problem 1\n    - {problem}\n"
        );
        of(&output, FindingContext::default())
    }

    #[test]
    fn the_problem_says_what_cannot_be_resolved() {
        assert_eq!(
            composer(
                "Root composer.json requires php ^8.4 but your php version (8.2.7) does not satisfy that requirement."
            ),
            ["composer unresolvable runtime_version_mismatch php"]
        );
        assert_eq!(
            composer(
                "Root composer.json requires nobody/nothing, it could not be found in any version, there may be a typo."
            ),
            ["composer unresolvable dependency_not_found nobody/nothing"]
        );
        assert_eq!(
            composer("a/b 1.0 requires c/d ^2 -> found c/d[1.0] but it conflicts"),
            ["composer unresolvable dependency_conflict -"]
        );
    }
}

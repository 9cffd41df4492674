//! git, which package managers of all languages start for what is not in a registry. It has no codes, but few sentences.

use mainstay_diagnosis::Cause;

use super::{FindingContext, Found, Scanner};

#[derive(Debug)]
pub(super) struct Git;

/// Of git, of ssh under it, and of the usual hosts.
const REFUSALS: &[&str] = &[
    "fatal: could not read Username for ",
    "fatal: could not read Password for ",
    "fatal: Authentication failed for ",
    "remote: Repository not found",
    "Permission denied (publickey",
    "Host key verification failed",
];
const UNREACHABLE: &[&str] = &["Could not resolve host: ", "ssh: Could not resolve hostname "];

impl Scanner for Git {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        let says = |sentences: &[&str]| sentences.iter().any(|sentence| line.contains(sentence));
        let (identifier, cause) = if says(REFUSALS) {
            ("no access", Cause::DependencyNotFound)
        } else if says(UNREACHABLE) {
            ("host", Cause::DependencyRegistryUnreachable)
        } else {
            return;
        };
        found.add("git", identifier, Some(cause), line.trim(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn a_repository_that_lets_nobody_in_is_told_from_a_host_that_is_not_there() {
        for (line, expected) in [
            (
                "         fatal: could not read Username for 'https://git.example': terminal prompts disabled",
                "git no access dependency_not_found -",
            ),
            (
                "git@git.example: Permission denied (publickey).",
                "git no access dependency_not_found -",
            ),
            (
                "fatal: unable to access 'https://git.example/a.git/': Could not resolve host: git.example",
                "git host dependency_registry_unreachable -",
            ),
        ] {
            assert_eq!(of(line, FindingContext::default()), [expected], "{line}");
        }
    }
}

//! Yarn: sentences of version 1, `YN` codes of later ones (https://yarnpkg.com/advanced/error-codes).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{between, package_of, quoted, word_with},
};

#[derive(Debug)]
pub(super) struct Yarn;

impl Scanner for Yarn {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        if line.contains("YN0") {
            berry(line, found);
        } else if let Some(message) = line.trim_start().strip_prefix("error ") {
            classic(line, message, found);
        }
    }
}

fn classic(line: &str, message: &str, found: &mut Found) {
    let (identifier, cause, subject) = if message.contains("lockfile needs to be updated") {
        ("frozen-lockfile", Cause::LockfileOutOfStep, Some("yarn.lock"))
    } else if message.contains("Couldn't find any versions for") {
        ("no versions", Cause::DependencyNotFound, quoted(message))
    } else if message.contains(": Not found") && message.contains("://") {
        ("404", Cause::DependencyNotFound, quoted(message))
    } else if message.contains("The engine \"node\" is incompatible") {
        ("engine", Cause::RuntimeVersionMismatch, message.split(':').next())
    } else if message.starts_with("Command \"") && message.contains("not found") {
        ("missing script", Cause::ScriptMissing, quoted(message))
    } else if message.contains("getaddrinfo")
        || message.contains("ECONNREFUSED")
        || message.contains("ETIMEDOUT")
    {
        ("network", Cause::DependencyRegistryUnreachable, None)
    } else {
        return;
    };
    found.add("yarn", identifier, Some(cause), line, subject);
}

fn berry(line: &str, found: &mut Found) {
    let Some(code) = word_with(line, "YN") else { return };
    let cause = match code {
        "YN0028" => Cause::LockfileOutOfStep,
        "YN0035" | "YN0082" | "YN0016" | "YN0027" => Cause::DependencyNotFound,
        "YN0030" | "YN0009" => Cause::DependencyNotCompilable,
        "YN0060" => Cause::DependencyConflict,
        "YN0038" | "YN0050" => Cause::ManifestInvalid,
        _ => return,
    };
    let subject = between(line, "│ ", ":")
        .map(package_of)
        .filter(|name| !name.contains(' '));
    found.add("yarn", code, Some(cause), line, subject);
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn both_generations_are_understood() {
        let output = "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.\n\
                      error Couldn't find any versions for \"express\" that matches \"^99.0.0\"\n\
                      ➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.\n\
                      ➤ YN0082: │ nope@npm:^1.0.0: No candidates found\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "yarn frozen-lockfile lockfile_out_of_step yarn.lock",
                "yarn no versions dependency_not_found express",
                "yarn YN0028 lockfile_out_of_step -",
                "yarn YN0082 dependency_not_found nope",
            ]
        );
    }
}

//! Yarn: sentences of version 1, `YN` codes of later ones (<https://yarnpkg.com/advanced/error-codes>).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, package_of, quoted, word_with},
};

#[derive(Debug)]
pub(super) struct Yarn;

impl Scanner for Yarn {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("YN0") {
            berry(line, context, found);
        } else if let Some(message) = line.trim_start().strip_prefix("error ") {
            classic(line, message, context, found);
        } else if let Some(script) = after(line, "Couldn't find a script named ") {
            found.add(
                "yarn",
                "missing script",
                Some(Cause::ScriptMissing),
                line,
                quoted(script),
            );
        } else if let Some(program) = line.strip_prefix("command not found: ") {
            found.explain(
                "yarn",
                "command not found",
                context.program(program),
                line,
                Some(program),
            );
        }
    }
}

fn classic(line: &str, message: &str, context: &FindingContext, found: &mut Found) {
    if message.starts_with("Command \"") && message.contains("not found") {
        return missing_command(line, message, context, found);
    }
    if message.starts_with("Couldn't find a package.json") {
        return found.explain(
            "yarn",
            "no manifest",
            context.file("package.json"),
            line,
            Some("package.json"),
        );
    }
    let (identifier, cause, subject) = if message.contains("lockfile needs to be updated") {
        ("frozen-lockfile", Cause::LockfileOutOfStep, Some("yarn.lock"))
    } else if message.contains("Integrity check failed for") {
        ("integrity", Cause::LockfileOutOfStep, Some("yarn.lock"))
    } else if message.contains("Couldn't find any versions for") || message.contains("Couldn't find package")
    {
        ("no versions", Cause::DependencyNotFound, quoted(message))
    } else if message.contains(": Not found") && message.contains("://") {
        ("404", Cause::DependencyNotFound, quoted(message))
    } else if message.contains("The engine \"") && message.contains("is incompatible") {
        ("engine", Cause::RuntimeVersionMismatch, message.split(':').next())
    } else if message.contains("getaddrinfo")
        || message.contains("ECONNREFUSED")
        || message.contains("ETIMEDOUT")
    {
        ("network", Cause::DependencyRegistryUnreachable, None)
    } else if let Some((_, package)) = message
        .split_once("/node_modules/")
        .filter(|_| message.ends_with(": Command failed."))
    {
        let package = package.split(':').next().unwrap_or(package);
        return found.not_compilable("yarn", "install script", line, package);
    } else {
        return;
    };
    found.add("yarn", identifier, Some(cause), line, subject);
}

/// A script of the manifest, or a program of a package.
fn missing_command(line: &str, message: &str, context: &FindingContext, found: &mut Found) {
    let name = quoted(message);
    match name.and_then(|name| context.left_out(name)) {
        Some(clue) => {
            let cause = (Cause::DevDependencyMissing, Some(clue));
            found.explain("yarn", "missing script", cause, line, name);
        }
        None => found.add("yarn", "missing script", Some(Cause::ScriptMissing), line, name),
    }
}

fn berry(line: &str, context: &FindingContext, found: &mut Found) {
    let Some(code) = word_with(line, "YN") else { return };
    if code == "YN0028" {
        let (cause, clue) = if line.contains("would have been created") {
            (Cause::LockfileMissing, context.lock_file(&["yarn.lock"]))
        } else {
            (Cause::LockfileOutOfStep, None)
        };
        return found.explain("yarn", code, (cause, clue), line, Some("yarn.lock"));
    }
    let subject = between(line, "│ ", ":")
        .map(package_of)
        .filter(|name| !name.contains(' '));
    if code == "YN0009" {
        let package =
            between(line, "│ ", " couldn't be built").map_or(subject.unwrap_or_default(), package_of);
        return found.not_compilable("yarn", code, line, package);
    }
    let cause = match code {
        "YN0035" | "YN0082" | "YN0016" | "YN0027" => Cause::DependencyNotFound,
        "YN0018" => Cause::LockfileOutOfStep,
        "YN0030" => Cause::DependencyNotCompilable,
        "YN0060" => Cause::DependencyConflict,
        "YN0038" | "YN0050" => Cause::ManifestInvalid,
        _ => return,
    };
    found.add("yarn", code, Some(cause), line, subject);
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn both_generations_are_understood() {
        let output = "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.\n\
                      error Couldn't find any versions for \"express\" that matches \"^99.0.0\"\n\
                      ➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.\n\
                      ➤ YN0082: │ nope@npm:^1.0.0: No candidates found\n\
                      ➤ YN0009: │ bcrypt@npm:5.1.0 couldn't be built successfully (exit code 1, logs can be found here: /x)\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "yarn frozen-lockfile lockfile_out_of_step yarn.lock",
                "yarn no versions dependency_not_found express",
                "yarn YN0028 lockfile_out_of_step yarn.lock",
                "yarn YN0082 dependency_not_found nope",
                "yarn YN0009 dependency_not_compilable bcrypt",
            ]
        );
    }

    #[test]
    fn a_missing_command_may_be_a_development_dependency() {
        let manifest = [("package.json", r#"{"devDependencies": {"vite": "5"}}"#)];
        let left_out = context(&manifest, Some("pruned"));
        assert_eq!(
            of("error Command \"vite\" not found.\n", left_out.clone()),
            ["yarn missing script dev_dependency_missing vite | package.json, pruned"]
        );
        assert_eq!(
            of("error Command \"biuld\" not found.\n", left_out),
            ["yarn missing script script_missing biuld"]
        );
    }
}

//! Go: the `go` command's own lines, and compiler errors as `file:line:column: message`.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between},
};

#[derive(Debug)]
pub(super) struct Go;

impl Scanner for Go {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("missing go.sum entry") {
            let cause = match context.lock_file(&["go.sum"]) {
                Some(clue) => (Cause::LockfileMissing, Some(clue)),
                None => (Cause::LockfileOutOfStep, None),
            };
            found.explain("go", "missing go.sum entry", cause, line, Some("go.sum"));
        } else if line.contains("go.mod file not found in") || line.contains("cannot find main module") {
            found.explain("go", "no go.mod", context.file("go.mod"), line, Some("go.mod"));
        } else if let Some((pattern, _)) =
            after(line, ": pattern ").and_then(|rest| rest.split_once(": no matching files"))
        {
            let (cause, clue) = context.file(pattern);
            found.explain("go", "embed", (cause, clue), line, Some(pattern));
        } else if let Some((identifier, cause, subject)) = sentence(line) {
            found.add("go", identifier, cause, line, subject);
        } else if let Some(place) = compile_error(line) {
            found.add("go", "compile", Some(Cause::CompileError), line, Some(place));
        }
    }
}

type Meaning<'a> = (&'static str, Option<Cause>, Option<&'a str>);

fn sentence(line: &str) -> Option<Meaning<'_>> {
    if let Some(package) = between(line, "no required module provides package ", ";") {
        Some(("no required module", Some(Cause::ModuleNotFound), Some(package)))
    } else if let Some(package) =
        between(line, "package ", " is not in std").or_else(|| between(line, "package ", " is not in GOROOT"))
    {
        Some(("no such package", Some(Cause::ModuleNotFound), Some(package)))
    } else if line.contains("updates to go.mod needed") || line.contains("go: inconsistent vendoring") {
        Some((
            "go.mod out of step",
            Some(Cause::LockfileOutOfStep),
            Some("go.mod"),
        ))
    } else if line.contains("checksum mismatch") {
        Some((
            "checksum mismatch",
            Some(Cause::LockfileOutOfStep),
            Some("go.sum"),
        ))
    } else if (line.contains("requires go >= ") && line.contains("running go"))
        || line.contains("invalid go version")
        || line.contains("unknown directive: toolchain")
    {
        Some(("go version", Some(Cause::RuntimeVersionMismatch), None))
    } else if line.starts_with("go: errors parsing go.mod") {
        Some(("go.mod", Some(Cause::ManifestInvalid), Some("go.mod")))
    } else if line.contains("no main packages to build") || line.contains("matched no packages") {
        Some(("no main package", None, None))
    } else if line.contains("invalid version: unknown revision") || line.contains(": 404 Not Found") {
        Some((
            "unknown revision",
            Some(Cause::DependencyNotFound),
            between(line, "go: ", ": "),
        ))
    } else if line.contains("dial tcp") || line.contains("tls: failed to verify certificate") {
        Some((
            "network",
            Some(Cause::DependencyRegistryUnreachable),
            after(line, "Get \""),
        ))
    } else {
        None
    }
}

/// "./main.go:12:2: undefined: x" → "./main.go:12:2".
fn compile_error(line: &str) -> Option<&str> {
    let (place, _) = line.split_once(": ")?;
    let mut parts = place.rsplit(':');
    let is_number = |text: Option<&str>| {
        text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (column, line_number) = (parts.next(), parts.next());
    let file = parts.next()?;
    (is_number(column) && is_number(line_number) && file.strip_suffix(".go").is_some() && !file.contains(' '))
        .then_some(place)
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn errors_of_modules_and_of_the_compiler_are_read() {
        let output = "main.go:4:2: no required module provides package github.com/x/y; to add it:\n\
                      ./main.go:12:2: undefined: x\n\
                      go: go.mod requires go >= 1.99 (running go 1.22.3; GOTOOLCHAIN=local)\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "go no required module module_not_found github.com/x/y",
                "go compile compile_error ./main.go:12:2",
                "go go version runtime_version_mismatch -",
            ]
        );
    }

    #[test]
    fn files_that_were_not_committed_name_the_rule() {
        let output = "main.go:6:2: missing go.sum entry for module providing package rsc.io/quote\n\
                      main.go:9:12: pattern dist: no matching files found\n";
        assert_eq!(
            of(output, context(&[(".gitignore", "*.sum\n/dist\n")], None)),
            [
                "go missing go.sum entry lockfile_missing go.sum | go.sum by .gitignore line 1: *.sum",
                "go embed file_not_in_build_context dist | dist by .gitignore line 2: /dist",
            ]
        );
    }
}

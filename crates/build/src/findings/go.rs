//! Go: the `go` command's own lines, and compiler errors as `file:line:column: message`.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between},
};

#[derive(Debug)]
pub(super) struct Go;

impl Scanner for Go {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        if let Some(package) = between(line, "no required module provides package ", ";") {
            found.add(
                "go",
                "no required module",
                Some(Cause::ModuleNotFound),
                line,
                Some(package),
            );
        } else if line.contains("missing go.sum entry") {
            found.add(
                "go",
                "missing go.sum entry",
                Some(Cause::LockfileOutOfStep),
                line,
                Some("go.sum"),
            );
        } else if line.contains("updates to go.mod needed") || line.contains("go: inconsistent vendoring") {
            found.add(
                "go",
                "go.mod out of step",
                Some(Cause::LockfileOutOfStep),
                line,
                Some("go.mod"),
            );
        } else if line.contains("requires go >= ") && line.contains("running go") {
            found.add(
                "go",
                "go version",
                Some(Cause::RuntimeVersionMismatch),
                line,
                None,
            );
        } else if line.starts_with("go: errors parsing go.mod") {
            found.add("go", "go.mod", Some(Cause::ManifestInvalid), line, Some("go.mod"));
        } else if line.contains("no main packages to build") || line.contains("matched no packages") {
            found.add("go", "no main package", None, line, None);
        } else if line.contains("dial tcp") || line.contains("tls: failed to verify certificate") {
            found.add(
                "go",
                "network",
                Some(Cause::DependencyRegistryUnreachable),
                line,
                after(line, "Get \""),
            );
        } else if let Some(place) = compile_error(line) {
            found.add("go", "compile", Some(Cause::CompileError), line, Some(place));
        }
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
    use super::super::{FindingContext, tests::of};

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
}

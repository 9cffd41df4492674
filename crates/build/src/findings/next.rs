//! Next.js: a line with the place, then the error.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "next";

#[derive(Debug, Default)]
pub(super) struct Next {
    /// The last line that looked like a file's place: it is printed before the error.
    place: Option<String>,
}

impl Scanner for Next {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(module) = after(line, "Module not found: Can't resolve ").and_then(quoted) {
            found.explain(
                TOOL,
                "Module not found",
                context.module(module),
                line,
                Some(module),
            );
        } else if line.starts_with("Type error:") {
            found.add(
                TOOL,
                "Type error",
                Some(Cause::CompileError),
                line,
                self.place.as_deref(),
            );
        } else if line.contains("For Next.js, Node.js version") {
            found.add(
                TOOL,
                "node version",
                Some(Cause::RuntimeVersionMismatch),
                line,
                None,
            );
        } else if let Some(page) = between(line, "Error occurred prerendering page \"", "\"") {
            // The error itself follows, in the words of whatever failed.
            found.add(TOOL, "prerendering", None, line, Some(page));
        } else if line.contains("Couldn't find any `pages` or `app` directory") {
            found.explain(TOOL, "no pages", context.file("app"), line, Some("app"));
        } else if is_place(line) {
            self.place = Some(line.trim().to_owned());
        }
    }
}

/// "./src/app/page.tsx:3:5".
fn is_place(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("./") && !line.contains(' ') && line.contains(':')
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn type_errors_have_their_place() {
        let output = "Failed to compile.\n\n./src/app/page.tsx:3:5\nType error: Property 'component' does not exist on type 'Props'.\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["next Type error compile_error ./src/app/page.tsx:3:5"]
        );
    }

    #[test]
    fn modules_and_versions_are_named() {
        let output = "Module not found: Can't resolve './Chart'\n\
                      You are using Node.js 16.20.2. For Next.js, Node.js version >= v18.17.0 is required.\n";
        assert_eq!(
            of(output, context(&[("app/chart.tsx", "")], None)),
            [
                "next Module not found file_name_case ./Chart | spelt app/chart.tsx",
                "next node version runtime_version_mismatch -",
            ]
        );
    }
}

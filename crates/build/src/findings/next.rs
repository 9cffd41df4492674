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
    /// The last line that was marked as an error.
    marked: Option<String>,
    /// A page could not be prerendered; where no error was marked, it follows.
    prerenders: bool,
}

impl Scanner for Next {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if std::mem::take(&mut self.prerenders)
            && let Some(finding) = found.latest(TOOL)
        {
            let page = finding.subject.as_deref().unwrap_or_default();
            finding.line = format!("prerendering {page}: {}", line.trim());
        }
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
            match (self.marked.take(), found.latest(TOOL)) {
                (Some(error), Some(finding)) => finding.line = format!("prerendering {page}: {error}"),
                _ => self.prerenders = true,
            }
        } else if let Some(error) = line.trim_start().strip_prefix("⨯ ") {
            self.marked = Some(error.to_owned());
        } else if line.contains("Couldn't find any `pages` or `app` directory") {
            found.explain(TOOL, "no pages", context.file("app"), line, Some("app"));
        } else if let Some((at, _)) = line.split_once("  Error: ").filter(|(at, _)| is_position(at)) {
            let place = self.place.as_deref().unwrap_or_default();
            let place = format!("{place}:{}", at.trim());
            found.add(TOOL, "lint", Some(Cause::CompileError), line.trim(), Some(&place));
        } else if is_place(line) {
            self.place = Some(line.trim().to_owned());
        }
    }
}

/// "./src/app/page.tsx:3:5", and of the linter "./src/app/page.tsx".
fn is_place(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("./") && !line.contains(' ')
}

/// "3:5".
fn is_position(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.trim()
        .split_once(':')
        .is_some_and(|(line, column)| is_number(line) && is_number(column))
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
    fn errors_of_the_linter_have_their_place() {
        let output = "Failed to compile.\n\n./app/page.js\n1:35  Error: 'unused' is assigned a value but never used.  no-unused-vars\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["next lint compile_error ./app/page.js:1:35"]
        );
    }

    #[test]
    fn what_cannot_be_prerendered_says_why() {
        let mut findings = super::super::Findings::new(FindingContext::default());
        findings.line("Error occurred prerendering page \"/\". Read more: https://nextjs.org/docs");
        findings.line("TypeError: Invalid URL");
        findings.line(" ⨯ useSearchParams() should be wrapped in a suspense boundary");
        findings.line("Error occurred prerendering page \"/cart\". Read more: https://nextjs.org/docs");
        findings.line("Export encountered an error on /page: /, exiting the build.");
        let lines = findings.into_vec().into_iter().map(|finding| finding.line);
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "prerendering /: TypeError: Invalid URL",
                "prerendering /cart: useSearchParams() should be wrapped in a suspense boundary",
            ]
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

//! Hugo: `ERROR …`, in older versions `Error: …`; what concerns a file begins with its place in quotes.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "hugo";

#[derive(Debug)]
pub(super) struct Hugo;

impl Scanner for Hugo {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.contains("is not compatible with this Hugo version") {
            let cause = Some(Cause::RuntimeVersionMismatch);
            return found.add(TOOL, "version", cause, line, between(line, "odule \"", "\""));
        }
        let Some(message) = line
            .strip_prefix("ERROR ")
            .or_else(|| line.strip_prefix("Error: "))
        else {
            return;
        };
        if let Some(path) = after(message, " not found in ")
            .and_then(quoted)
            .filter(|_| message.contains("module \""))
        {
            found.explain(TOOL, "no theme", context.file(path), line, Some(path));
        } else if let Some(message) = after(message, "error building site: ") {
            found.add(TOOL, "error", Some(Cause::CompileError), line, place(message));
        }
    }
}

/// The last `"file:line:column"`: what is around it is rendered by it.
fn place(message: &str) -> Option<&str> {
    let is_place = |part: &&str| {
        part.rsplit(':')
            .take(2)
            .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            && part.contains('/')
    };
    message.split('"').rfind(is_place)
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn errors_of_a_site_have_their_place() {
        for line in [
            r#"ERROR error building site: render: failed to render pages: render of "/workspace/content/a.md" failed: "/workspace/layouts/single.html:2:3": execute of template failed: template: single.html:2:3: executing "single.html" at <partial "nope.html" .>: error calling partial"#,
            r#"Error: error building site: "/workspace/layouts/single.html:2:3": parse of template failed: template: single.html:2: unexpected "}" in if"#,
        ] {
            assert_eq!(
                of(line, FindingContext::default()),
                ["hugo error compile_error /workspace/layouts/single.html:2:3"]
            );
        }
    }

    #[test]
    fn a_theme_that_is_not_there_and_an_old_hugo_are_named() {
        let theme = r#"ERROR failed to load modules: module "ananke" not found in "/workspace/themes/ananke"; either add it as a Hugo Module or store it in "/workspace/themes".: module does not exist"#;
        assert_eq!(
            of(theme, context(&[(".gitignore", "themes/\n")], None)),
            [
                "hugo no theme file_not_in_build_context /workspace/themes/ananke | workspace/themes/ananke by .gitignore line 1: themes/"
            ]
        );
        let version = r#"WARN  Module "docsy" is not compatible with this Hugo version: Min 0.999.0; run "hugo mod graph""#;
        assert_eq!(
            of(version, FindingContext::default()),
            ["hugo version runtime_version_mismatch docsy"]
        );
    }
}

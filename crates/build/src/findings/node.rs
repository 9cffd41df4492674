//! Node.js itself: modules that cannot be loaded, its own heap limit, errors of its parser.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, quoted},
};

#[derive(Debug)]
pub(super) struct Node;

impl Scanner for Node {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(message) =
            after(line, "Cannot find module ").or_else(|| after(line, "Cannot find package "))
        {
            // The compiler's sentence of the same words has a code of its own.
            if !line.contains("error TS") {
                let unquoted = || {
                    message
                        .split_whitespace()
                        .next()
                        .unwrap_or(message)
                        .trim_end_matches('.')
                };
                let module = quoted(message)
                    .filter(|_| message.starts_with(['\'', '"', '`']))
                    .unwrap_or_else(unquoted);
                found.explain(
                    "node",
                    "MODULE_NOT_FOUND",
                    context.module(module),
                    line,
                    Some(module),
                );
            }
        } else if line.contains("JavaScript heap out of memory") {
            found.add("node", "heap limit", Some(Cause::OwnHeapLimit), line, None);
        } else if line.contains("java.lang.OutOfMemoryError") {
            found.add("java", "heap limit", Some(Cause::OwnHeapLimit), line, None);
        } else if line.starts_with("gyp ERR! build error") || line.starts_with("gyp ERR! configure error") {
            found.not_compilable("node-gyp", "build error", line, "");
        } else if line.starts_with("SyntaxError: Unexpected ") || line.starts_with("SyntaxError: missing ") {
            found.add("node", "SyntaxError", Some(Cause::SyntaxError), line, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn a_left_out_development_dependency_is_told_from_a_missing_module() {
        let line = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'vite' imported from /workspace/vite.config.js\n";
        assert_eq!(
            of(line, FindingContext::default()),
            ["node MODULE_NOT_FOUND module_not_found vite"]
        );
        let manifest = [("package.json", r#"{"devDependencies": {"vite": "5"}}"#)];
        assert_eq!(
            of(line, context(&manifest, Some("NODE_ENV=production"))),
            ["node MODULE_NOT_FOUND dev_dependency_missing vite | package.json, NODE_ENV=production"]
        );
    }

    #[test]
    fn a_module_without_quotes_is_its_first_word() {
        let line = "Error: Cannot find module @rollup/rollup-linux-x64-gnu. npm has a bug, please try `npm i` again\n";
        assert_eq!(
            of(line, FindingContext::default()),
            ["node MODULE_NOT_FOUND module_not_found @rollup/rollup-linux-x64-gnu"]
        );
    }

    #[test]
    fn a_script_of_the_source_that_is_not_there_says_what_is() {
        let line = "Error: Cannot find module '/workspace/Build.js'\n";
        assert_eq!(
            of(line, context(&[("build.js", "")], None)),
            ["node MODULE_NOT_FOUND file_name_case /workspace/Build.js | spelt build.js"]
        );
    }
}

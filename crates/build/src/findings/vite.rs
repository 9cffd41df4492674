//! Vite and what it is made of: Rollup and esbuild.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "vite";

#[derive(Debug, Default)]
pub(super) struct Vite {
    /// "Transform failed with 1 error:" was printed; its place and message follow.
    transforms: bool,
}

impl Scanner for Vite {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(module) = unresolved(line) {
            found.explain(
                TOOL,
                "unresolved import",
                context.module(module),
                line,
                Some(module),
            );
        } else if let Some(path) =
            between(line, "Could not load ", " (imported by").filter(|_| line.contains("ENOENT"))
        {
            found.explain(TOOL, "unresolved import", context.module(path), line, Some(path));
        } else if let Some(entry) = after(line, "Could not resolve entry module ").and_then(quoted) {
            found.explain(TOOL, "no entry", context.file(entry), line, Some(entry));
        } else if line.contains("Vite requires Node.js version") {
            found.add(
                TOOL,
                "node version",
                Some(Cause::RuntimeVersionMismatch),
                line,
                None,
            );
        } else if line.contains("Transform failed with ") || line.contains("Build failed with ") {
            self.transforms = true;
        } else if let Some((place, _)) = line.split_once(": ERROR: ").filter(|_| self.transforms) {
            found.add(
                TOOL,
                "transform",
                Some(Cause::CompileError),
                line,
                Some(place.trim()),
            );
        }
    }
}

fn unresolved(line: &str) -> Option<&str> {
    const MARKS: &[&str] = &[
        "failed to resolve import ",
        "Failed to resolve import ",
        "Could not resolve \"",
    ];
    let mark = MARKS.iter().find(|mark| line.contains(**mark))?;
    quoted(&line[line.find(mark)? + mark.trim_end_matches('"').len()..])
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn imports_that_cannot_be_resolved_are_held_against_the_source() {
        let output = "[vite]: Rollup failed to resolve import \"vue\" from \"/workspace/src/main.js\".\n\
                      Could not resolve \"./Cart.js\" from \"src/main.js\"\n\
                      ✘ [ERROR] Could not resolve \"./nothing\"\n\
                      error: Could not resolve entry module \"index.html\".\n";
        assert_eq!(
            of(
                output,
                context(&[("src/cart.js", ""), ("web/index.html", "")], None)
            ),
            [
                "vite unresolved import module_not_found vue",
                "vite unresolved import file_name_case ./Cart.js | spelt src/cart.js",
                "vite unresolved import module_not_found ./nothing",
                "vite no entry file_not_in_build_context index.html | at web/index.html",
            ]
        );
    }

    #[test]
    fn errors_of_the_transformer_have_their_place() {
        let output = "[vite:esbuild] Transform failed with 1 error:\n/workspace/src/x.ts:3:5: ERROR: Expected \";\" but found \"y\"\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["vite transform compile_error /workspace/src/x.ts:3:5"]
        );
    }
}

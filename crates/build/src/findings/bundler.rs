//! Next.js, webpack, Vite, Rollup, esbuild: modules that cannot be resolved, type errors, warnings counted as errors.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, quoted},
};

#[derive(Debug, Default)]
pub(super) struct Bundler {
    /// The last line that looked like a file's place: Next.js prints it before the error.
    place: Option<String>,
}

impl Scanner for Bundler {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(module) = unresolved(line) {
            let cause = if context.is_left_out(module) {
                Cause::DevDependencyMissing
            } else if module.starts_with('.') && context.same_but_for_case(module).is_some() {
                Cause::FileNameCase
            } else {
                Cause::ModuleNotFound
            };
            found.add("bundler", "unresolved import", Some(cause), line, Some(module));
        } else if line.contains("Treating warnings as errors because process.env.CI") {
            found.add("react-scripts", "CI", Some(Cause::WarningsAsErrors), line, None);
        } else if line.starts_with("Type error:") {
            found.add(
                "next",
                "Type error",
                Some(Cause::CompileError),
                line,
                self.place.as_deref(),
            );
        } else if is_place(line) {
            self.place = Some(line.trim().to_owned());
        }
    }
}

/// The module of the bundlers' sentences.
fn unresolved(line: &str) -> Option<&str> {
    const MARKS: &[&str] = &[
        "Module not found: Error: Can't resolve ",
        "Module not found: Can't resolve ",
        "failed to resolve import ",
        "Failed to resolve import ",
        "Could not resolve ",
    ];
    MARKS.iter().find_map(|mark| quoted(after(line, mark)?))
}

/// "./src/app/page.tsx:3:5".
fn is_place(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("./") && !line.contains(' ') && line.contains(':')
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};
    use crate::source::SourceTree;

    #[test]
    fn a_spelling_in_another_case_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("src")).unwrap();
        std::fs::write(directory.path().join("src/Countymap.js"), "").unwrap();
        let tree = SourceTree::open(directory.path()).unwrap();
        let context = FindingContext::read(&tree, false, []);
        let output = "Module not found: Error: Can't resolve './CountyMap' in '/workspace/src'\n\
                      Could not resolve \"./nothing\" from \"src/main.js\"\n";
        assert_eq!(
            of(output, context),
            [
                "bundler unresolved import file_name_case ./CountyMap",
                "bundler unresolved import module_not_found ./nothing",
            ]
        );
    }

    #[test]
    fn type_errors_have_their_place() {
        let output = "Failed to compile.\n\n./src/app/page.tsx:3:5\nType error: Property 'component' does not exist on type 'Props'.\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["next Type error compile_error ./src/app/page.tsx:3:5"]
        );
    }
}

//! webpack and the tools around it (react-scripts, vue-cli).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
};

const TOOL: &str = "webpack";

#[derive(Debug, Default)]
pub(super) struct Webpack {
    /// Warnings count as errors: the file of the warning that is being printed.
    file: Option<String>,
    strict: bool,
}

impl Scanner for Webpack {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if let Some(module) = after(line, "Module not found: Error: Can't resolve ").and_then(quoted) {
            found.explain(
                TOOL,
                "unresolved import",
                context.module(module),
                line,
                Some(module),
            );
        } else if line.contains("Treating warnings as errors because process.env.CI") {
            self.strict = true;
            found.add("react-scripts", "CI", Some(Cause::WarningsAsErrors), line, None);
        } else if line.contains("error:0308010C:digital envelope routines") {
            // Node.js 17 took the hash away that webpack 4 uses.
            found.add(TOOL, "openssl", Some(Cause::RuntimeVersionMismatch), line, None);
        } else if self.strict {
            self.warning(line, found);
        }
    }
}

impl Webpack {
    /// "src/App.js", then "  Line 1:8:  'logo' is defined but never used  no-unused-vars".
    fn warning(&mut self, line: &str, found: &mut Found) {
        let Some(number) = between(line.trim(), "Line ", ":") else {
            self.file = Some(line.trim().to_owned()).filter(|file| file.contains('.') && !file.contains(' '));
            return;
        };
        let rule = line.split_whitespace().next_back().unwrap_or_default();
        let (Some(file), Some(finding)) = (&self.file, found.latest("react-scripts")) else {
            return;
        };
        if finding.subject.is_none() {
            finding.subject = Some(format!("{file}:{number} {rule}"));
            line.trim().clone_into(&mut finding.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn a_spelling_in_another_case_is_recognised() {
        let output = "Module not found: Error: Can't resolve './CountyMap' in '/workspace/src'\n";
        assert_eq!(
            of(output, context(&[("src/Countymap.js", "")], None)),
            ["webpack unresolved import file_name_case ./CountyMap | spelt src/Countymap.js"]
        );
    }

    #[test]
    fn the_warning_that_counts_as_an_error_is_named() {
        let output = "Treating warnings as errors because process.env.CI = true.\nMost CI servers set it automatically.\n\
                      Failed to compile.\n\n[eslint]\nsrc/App.js\n  Line 1:8:  'logo' is defined but never used  no-unused-vars\n";
        assert_eq!(
            of(output, FindingContext::default()),
            ["react-scripts CI warnings_as_errors src/App.js:1 no-unused-vars"]
        );
    }
}

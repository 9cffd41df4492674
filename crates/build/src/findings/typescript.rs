//! The TypeScript compiler: `file(line,column): error TS2307: …` or, in its pretty form, `file:line:column - error TS2307: …`.

use mainstay_diagnosis::{Cause, facts::Clue};

use super::{
    FindingContext, Found, Scanner,
    text::{quoted, word_with},
};

#[derive(Debug)]
pub(super) struct TypeScript;

impl Scanner for TypeScript {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        let Some((place, message)) = line.split_once("error TS") else {
            return;
        };
        let Some(code) = word_with(&line[place.len()..], "TS") else {
            return;
        };
        let place = place.trim().trim_end_matches([':', '-', ' ']);
        let (cause, subject) = match code {
            "TS2307" | "TS2305" | "TS7016" | "TS2688" | "TS2792" | "TS2875" => {
                missing(message, place, context)
            }
            "TS1149" | "TS1261" => ((Cause::FileNameCase, None), quoted(message).unwrap_or(place)),
            // A configuration or source file that cannot be read.
            "TS5083" | "TS5058" | "TS6053" => {
                let path = quoted(message).unwrap_or(place);
                (context.file(path), path)
            }
            // Options and values that a newer compiler knows.
            "TS5023" | "TS6046" => (
                (Cause::RuntimeVersionMismatch, None),
                quoted(message).unwrap_or(place),
            ),
            _ => ((Cause::CompileError, None), place),
        };
        found.explain("tsc", code, cause, line, Some(subject));
    }
}

/// A module that cannot be found: left out with the development dependencies, spelt in another case, or simply not there.
fn missing<'a>(
    message: &'a str,
    place: &'a str,
    context: &FindingContext,
) -> ((Cause, Option<Clue>), &'a str) {
    let Some(module) = quoted(message) else {
        return ((Cause::CompileError, None), place);
    };
    let types = context.left_out(&format!("@types/{module}"));
    if let Some(clue) = context.left_out(module).or(types) {
        ((Cause::DevDependencyMissing, Some(clue)), module)
    } else if module.starts_with('.') {
        (context.module(module), module)
    } else {
        ((Cause::CompileError, None), place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    #[test]
    fn both_forms_are_read() {
        let output = "src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.\n\
                      src/b.ts:1:1 - error TS2304: Cannot find name 'y'.\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "tsc TS2322 compile_error src/a.ts(3,5)",
                "tsc TS2304 compile_error src/b.ts:1:1"
            ]
        );
    }

    #[test]
    fn missing_types_may_be_left_out_development_dependencies() {
        let manifest = [("package.json", r#"{"devDependencies": {"@types/express": "5"}}"#)];
        let output = "src/a.ts(1,1): error TS7016: Could not find a declaration file for module 'express'.\n";
        assert_eq!(
            of(output, context(&manifest, Some("pruned"))),
            ["tsc TS7016 dev_dependency_missing express | package.json, pruned"]
        );
    }

    #[test]
    fn an_import_in_another_letter_case_names_the_file() {
        let output = "src/main.ts(1,20): error TS2307: Cannot find module './Cart' or its corresponding type declarations.\n";
        assert_eq!(
            of(output, context(&[("src/cart.ts", "")], None)),
            ["tsc TS2307 file_name_case ./Cart | spelt src/cart.ts"]
        );
    }
}

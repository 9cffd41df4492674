//! The TypeScript compiler: `file(line,column): error TS2307: …` or, in its pretty form, `file:line:column - error TS2307: …`.

use mainstay_diagnosis::Cause;

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
            "TS2307" | "TS2305" | "TS7016" | "TS2688" => missing(message, place, context),
            "TS1149" | "TS1261" => (Cause::FileNameCase, quoted(message).unwrap_or(place)),
            _ => (Cause::CompileError, place),
        };
        found.add("tsc", code, Some(cause), line, Some(subject));
    }
}

/// A module that cannot be found: left out with the development dependencies, spelt in another case, or simply not there.
fn missing<'a>(message: &'a str, place: &'a str, context: &FindingContext) -> (Cause, &'a str) {
    let Some(module) = quoted(message) else {
        return (Cause::CompileError, place);
    };
    if context.is_left_out(module) || context.is_left_out(&format!("@types/{module}")) {
        (Cause::DevDependencyMissing, module)
    } else if module.starts_with('.') && context.same_but_for_case(module).is_some() {
        (Cause::FileNameCase, module)
    } else if module.starts_with('.') {
        (Cause::ModuleNotFound, module)
    } else {
        (Cause::CompileError, place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

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
    fn missing_types_in_production_are_left_out_development_dependencies() {
        let context = FindingContext {
            development_dependencies: ["@types/express".to_owned()].into(),
            production: true,
            ..FindingContext::default()
        };
        let output = "src/a.ts(1,1): error TS7016: Could not find a declaration file for module 'express'.\n";
        assert_eq!(of(output, context), ["tsc TS7016 dev_dependency_missing express"]);
    }
}

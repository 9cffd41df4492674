//! Node.js itself: modules that cannot be loaded, its own heap limit, native modules that cannot be compiled.

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, between, quoted},
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
                let module = quoted(message);
                let left_out = module.is_some_and(|module| context.is_left_out(module));
                let cause = if left_out {
                    Cause::DevDependencyMissing
                } else {
                    Cause::ModuleNotFound
                };
                found.add("node", "MODULE_NOT_FOUND", Some(cause), line, module);
            }
        } else if line.contains("JavaScript heap out of memory") {
            found.add("node", "heap limit", Some(Cause::OwnHeapLimit), line, None);
        } else if line.contains("gyp ERR! build error") || line.contains("gyp ERR! configure error") {
            found.add(
                "node-gyp",
                "build error",
                Some(Cause::DependencyNotCompilable),
                line,
                None,
            );
        } else if line.contains("fatal error: ") && line.contains(".h: No such file") {
            let header = between(line, "fatal error: ", ": No such file");
            found.add(
                "cc",
                "missing header",
                Some(Cause::DependencyNotCompilable),
                line,
                header,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn a_left_out_development_dependency_is_told_from_a_missing_module() {
        let line = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'vite' imported from /workspace/vite.config.js\n";
        assert_eq!(
            of(line, FindingContext::default()),
            ["node MODULE_NOT_FOUND module_not_found vite"]
        );
        let context = FindingContext {
            development_dependencies: ["vite".to_owned()].into(),
            production: true,
            ..FindingContext::default()
        };
        assert_eq!(
            of(line, context),
            ["node MODULE_NOT_FOUND dev_dependency_missing vite"]
        );
    }
}

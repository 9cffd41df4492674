//! Prisma: its client is code that `prisma generate` makes, in `node_modules` or beside the app's own.

use mainstay_diagnosis::Cause;

use super::{FindingContext, Found, Scanner};

#[derive(Debug)]
pub(super) struct Prisma;

/// What the client itself says, what a loader says of the package that it leads to, and what the compiler says of a client without a model.
const SENTENCES: &[&str] = &[
    "@prisma/client did not initialize yet",
    "Cannot find module '.prisma/client",
    "Module '\"@prisma/client\"' has no exported member 'PrismaClient'",
];

impl Scanner for Prisma {
    fn line(&mut self, line: &str, _: &FindingContext, found: &mut Found) {
        if SENTENCES.iter().any(|sentence| line.contains(sentence)) {
            found.add(
                "prisma",
                "not generated",
                Some(Cause::GeneratedCodeMissing),
                line,
                None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn a_client_that_nothing_made_comes_before_what_loaders_and_compilers_say() {
        for line in [
            "Error: @prisma/client did not initialize yet. Please run \"prisma generate\" and try to import it again.",
            "Error: Cannot find module '.prisma/client/default'",
            "src/db.ts(1,10): error TS2305: Module '\"@prisma/client\"' has no exported member 'PrismaClient'.",
        ] {
            let findings = of(line, FindingContext::default());
            assert_eq!(
                findings[0], "prisma not generated generated_code_missing -",
                "{line}"
            );
        }
    }
}

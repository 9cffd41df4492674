//! Code that a generator makes, and that no step of the build made.

use crate::{NextStep, facts::Facts, words};

/// Follows ": ".
pub(super) const CLAUSE: &str = "the Prisma client was not generated in the build";

pub(super) fn next_steps(facts: &Facts, by_dockerfile: bool) -> Vec<NextStep> {
    if by_dockerfile {
        return vec![NextStep::new(
            "Add `RUN npx prisma generate` to the Dockerfile, after the packages are installed and the schema is copied.",
        )];
    }
    vec![
        NextStep::new("Generate it whenever packages are installed: in the scripts of package.json.")
            .with_command("npm pkg set scripts.postinstall=\"prisma generate\""),
        NextStep::new("Or in the build command.").with_spec(words::spec_lines(
            facts,
            &["build_command: npx prisma generate && npm run build"],
        )),
    ]
}

//! The known lines, one table per family. They refine causes; a line that is not here only leaves the cause coarser.

mod build;
mod database;
mod environment;
mod exec;
mod network;
mod runtime;

use super::pattern::{Pattern, Subject};
use crate::Cause;

/// For processes that ended.
pub(super) const RUN: &[&[Pattern]] = &[
    environment::TABLE,
    database::TABLE,
    runtime::MODULE_SYSTEMS,
    runtime::GENERATED,
    runtime::TABLE,
    exec::LOADER,
    network::TABLE,
];

/// For commands that could not be executed.
pub(super) const EXEC: &[&[Pattern]] = &[exec::LOADER, exec::SHELL];

/// For build steps.
pub(super) const BUILD: &[&[Pattern]] = &[
    runtime::MODULE_SYSTEMS,
    runtime::GENERATED,
    build::TABLE,
    environment::TABLE,
    exec::SHELL,
    exec::LOADER,
];

const fn strong(all: &'static [&'static str], cause: Cause, subject: Subject) -> Pattern {
    Pattern {
        all,
        cause,
        subject,
        weak: false,
    }
}

const fn weak(all: &'static [&'static str], cause: Cause, subject: Subject) -> Pattern {
    Pattern {
        all,
        cause,
        subject,
        weak: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_lower_case_and_not_empty() {
        for pattern in RUN.iter().chain(EXEC).chain(BUILD).flat_map(|table| table.iter()) {
            let length: usize = pattern.all.iter().map(|word| word.len()).sum();
            assert!(length >= 4, "{:?} would match too much", pattern.all);
            for word in pattern.all {
                assert_eq!(*word, word.to_ascii_lowercase());
            }
        }
    }
}

//! The pages of the reference: what each code and each cause means, what decides it, where to look, what to do next.

mod build_causes;
mod by_code;
mod code_pages;
mod database_causes;
mod exec_causes;
mod exit_causes;
mod limit_causes;
mod probe_causes;

use crate::{Blame, Cause, Code, Retry};

/// What a cause means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausePage {
    /// A few words: "Listens on another port".
    pub title: &'static str,
    pub meaning: &'static str,
    /// The observation that decides it.
    pub decided_by: &'static str,
    /// What to do, in one sentence; used where a rule has nothing more exact to say.
    pub next_step: &'static str,
    pub blame: Blame,
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodePage {
    pub title: &'static str,
    pub meaning: &'static str,
    pub decided_by: &'static str,
    pub evidence: &'static str,
    /// Whether the platform tries again, in words.
    pub retried: &'static str,
    pub next_step: &'static str,
}

impl Cause {
    #[expect(
        clippy::missing_panics_doc,
        reason = "a test proves that every cause has a page"
    )]
    pub fn page(self) -> CausePage {
        build_causes::page(self)
            .or_else(|| limit_causes::page(self))
            .or_else(|| exec_causes::page(self))
            .or_else(|| exit_causes::page(self))
            .or_else(|| database_causes::page(self))
            .or_else(|| probe_causes::page(self))
            .expect("every cause has a page")
    }

    /// Who can do something about it, unless the facts say better.
    pub fn blame(self) -> Blame {
        self.page().blame
    }

    /// A few words.
    pub fn title(self) -> &'static str {
        self.page().title
    }
}

impl Code {
    pub fn page(self) -> CodePage {
        code_pages::page(self)
    }

    /// Whether the platform tries again by itself, unless the facts say better.
    pub fn retry(self) -> Retry {
        match self {
            Self::InternalError => Retry::Bounded,
            Self::BuildRateLimit => Retry::Always,
            Self::DatabaseNotAvailable
            | Self::DatabaseLimitExceeded
            | Self::ContainerExitNonZero
            | Self::ContainerHealthChecksFailed
            | Self::ContainerOutOfMemory => Retry::UntilDeadline,
            Self::BuildJobFailed
            | Self::BuildJobExitNonZero
            | Self::BuildJobTimeout
            | Self::BuildJobOutOfMemory
            | Self::PreviousBuildReused
            | Self::DatabaseNotFound
            | Self::ContainerCommandNotExecutable
            | Self::ResourceExhausted => Retry::No,
        }
    }
}

/// A cause of the app's own.
const fn app(
    title: &'static str,
    meaning: &'static str,
    decided_by: &'static str,
    next_step: &'static str,
) -> CausePage {
    CausePage {
        title,
        meaning,
        decided_by,
        next_step,
        blame: Blame::App,
    }
}

/// A cause of the platform's own.
const fn platform(
    title: &'static str,
    meaning: &'static str,
    decided_by: &'static str,
    next_step: &'static str,
) -> CausePage {
    CausePage {
        title,
        meaning,
        decided_by,
        next_step,
        blame: Blame::Platform,
    }
}

/// A cause of something else that the app or its build needs.
const fn upstream(
    title: &'static str,
    meaning: &'static str,
    decided_by: &'static str,
    next_step: &'static str,
) -> CausePage {
    CausePage {
        title,
        meaning,
        decided_by,
        next_step,
        blame: Blame::Upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_exactly_one_page() {
        let families = [
            build_causes::page,
            limit_causes::page,
            exec_causes::page,
            exit_causes::page,
            database_causes::page,
            probe_causes::page,
        ];
        for cause in Cause::ALL {
            let pages = families.iter().filter(|page| page(*cause).is_some()).count();
            assert_eq!(pages, 1, "{cause} has {pages} pages");
        }
    }

    #[test]
    fn pages_are_written_in_sentences() {
        for cause in Cause::ALL {
            let page = cause.page();
            for text in [page.meaning, page.decided_by, page.next_step] {
                assert!(text.ends_with('.'), "{cause}: {text}");
            }
            assert!(
                !page.title.ends_with('.') && page.title.len() <= 60,
                "{cause}: {}",
                page.title
            );
        }
    }

    #[test]
    fn titles_tell_causes_apart() {
        let mut titles: Vec<_> = Cause::ALL.iter().map(|cause| cause.title()).collect();
        titles.sort_unstable();
        let count = titles.len();
        titles.dedup();
        assert_eq!(titles.len(), count);
    }
}

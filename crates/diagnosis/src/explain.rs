//! `mainstay explain CODE | CAUSE | EXIT-CODE | SIGNAL`: the pages of the catalogue, one at a time.

use std::fmt;

use crate::{
    Cause, Code,
    exit_codes::{self, exit_code, signal_name},
    render::wrapped,
};

/// A page about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// As the reference spells it: "ContainerExitNonZero", "bound_to_loopback", "exit code 137".
    pub name: String,
    pub title: String,
    pub meaning: String,
    pub decided_by: Option<String>,
    /// What a reason shows as evidence.
    pub evidence: Option<String>,
    pub retried: Option<String>,
    pub next_step: Option<String>,
    /// Names that can be explained as well.
    pub see_also: Vec<String>,
}

/// Nothing of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownTopic {
    pub topic: String,
    /// The most similar names, best first.
    pub similar: Vec<String>,
}

/// Explains a code (with or without the `Deploy` prefix), a cause, an exit code (`137`) or a signal (`SIGKILL`).
pub fn explain(topic: &str) -> Result<Explanation, UnknownTopic> {
    let topic = topic.trim();
    let number = topic
        .parse::<i32>()
        .ok()
        .filter(|number| (0..=255).contains(number));
    if let Some(number) = number {
        return Ok(about_exit_code(number));
    }
    if let Some(code) = find_code(topic) {
        return Ok(about_code(code));
    }
    if let Some(cause) = find_cause(topic) {
        return Ok(about_cause(cause));
    }
    if let Some(signal) = find_signal(topic) {
        return Ok(about_exit_code(128 + signal));
    }
    Err(UnknownTopic {
        topic: topic.to_owned(),
        similar: similar(topic),
    })
}

fn find_code(topic: &str) -> Option<Code> {
    topic.parse().ok().or_else(|| {
        Code::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(topic))
    })
}

/// Hyphens and capitals are forgiven.
fn find_cause(topic: &str) -> Option<Cause> {
    topic.to_ascii_lowercase().replace(['-', ' '], "_").parse().ok()
}

fn find_signal(topic: &str) -> Option<i32> {
    let wanted = topic.to_ascii_uppercase();
    (1..=64).find(|signal| {
        let name = signal_name(*signal);
        name == wanted || name.strip_prefix("SIG").is_some_and(|short| short == wanted)
    })
}

fn about_code(code: Code) -> Explanation {
    let page = code.page();
    Explanation {
        name: code.to_string(),
        title: page.title.to_owned(),
        meaning: page.meaning.to_owned(),
        decided_by: Some(page.decided_by.to_owned()),
        evidence: Some(page.evidence.to_owned()),
        retried: Some(page.retried.to_owned()),
        next_step: Some(page.next_step.to_owned()),
        see_also: code.causes().iter().map(Cause::to_string).collect(),
    }
}

fn about_cause(cause: Cause) -> Explanation {
    let page = cause.page();
    Explanation {
        name: cause.to_string(),
        title: page.title.to_owned(),
        meaning: page.meaning.to_owned(),
        decided_by: Some(page.decided_by.to_owned()),
        evidence: None,
        retried: None,
        next_step: Some(page.next_step.to_owned()),
        see_also: cause.codes().iter().map(Code::to_string).collect(),
    }
}

fn about_exit_code(number: i32) -> Explanation {
    let page = exit_code(number);
    let see_also: &[Code] = match number {
        126 | 127 | 190 => &[Code::ContainerCommandNotExecutable, Code::ContainerExitNonZero],
        137 => &[
            Code::ContainerOutOfMemory,
            Code::ContainerHealthChecksFailed,
            Code::ContainerExitNonZero,
        ],
        _ => &[Code::ContainerExitNonZero],
    };
    Explanation {
        name: format!("exit code {number}"),
        title: page.name,
        meaning: page.meaning,
        decided_by: None,
        evidence: None,
        retried: None,
        next_step: None,
        see_also: see_also.iter().map(Code::to_string).collect(),
    }
}

fn similar(topic: &str) -> Vec<String> {
    let topic = topic.to_ascii_lowercase();
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let causes = Cause::ALL.iter().map(|cause| cause.as_str());
    let mut names: Vec<(f64, &str)> = codes
        .chain(causes)
        .map(|name| {
            let lower = name.to_ascii_lowercase();
            let contained = topic.len() >= 4 && lower.contains(&topic);
            (
                if contained {
                    1.0
                } else {
                    strsim::jaro_winkler(&topic, &lower)
                },
                name,
            )
        })
        .filter(|(similarity, _)| *similarity >= 0.75)
        .collect();
    names.sort_by(|left, right| right.0.total_cmp(&left.0));
    names
        .into_iter()
        .take(5)
        .map(|(_, name)| name.to_owned())
        .collect()
}

impl fmt::Display for Explanation {
    /// Plain text of 80 columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n", self.name, self.title)?;
        f.write_str(&wrapped("  ", &self.meaning))?;
        let sections = [
            ("Decided by", &self.decided_by),
            ("Evidence", &self.evidence),
            ("Tried again", &self.retried),
            ("What to do", &self.next_step),
        ];
        for (heading, text) in sections {
            if let Some(text) = text {
                write!(f, "\n{heading}\n{}", wrapped("  ", text))?;
            }
        }
        if !self.see_also.is_empty() {
            write!(f, "\nSee also\n{}", wrapped("  ", &self.see_also.join(", ")))?;
        }
        Ok(())
    }
}

impl fmt::Display for UnknownTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no code, cause, exit code or signal", self.topic)?;
        if self.similar.is_empty() {
            Ok(())
        } else {
            write!(f, "; similar: {}", self.similar.join(", "))
        }
    }
}

/// The numbers that the reference lists.
pub(crate) fn listed_exit_codes() -> impl Iterator<Item = exit_codes::ExitCodePage> {
    exit_codes::LISTED.iter().map(|number| exit_code(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_reference_can_be_explained() {
        for code in Code::ALL {
            assert_eq!(explain(code.as_str()).unwrap().name, code.as_str());
        }
        for cause in Cause::ALL {
            assert_eq!(explain(cause.as_str()).unwrap().name, cause.as_str());
        }
        for number in 0..=255 {
            assert!(explain(&number.to_string()).is_ok());
        }
    }

    #[test]
    fn spellings_are_forgiven() {
        assert_eq!(
            explain("DeployContainerExitNonZero").unwrap().name,
            "ContainerExitNonZero"
        );
        assert_eq!(
            explain("containeroutofmemory").unwrap().name,
            "ContainerOutOfMemory"
        );
        assert_eq!(explain("bound-to-loopback").unwrap().name, "bound_to_loopback");
        assert_eq!(explain("sigkill").unwrap().name, "exit code 137");
        assert_eq!(explain("TERM").unwrap().name, "exit code 143");
    }

    #[test]
    fn an_unknown_name_proposes_similar_ones() {
        let error = explain("loopback").unwrap_err();
        assert_eq!(error.similar, ["bound_to_loopback"]);
        assert!(explain("256").is_err());
    }

    #[test]
    fn pages_fit_a_terminal() {
        let names = Code::ALL
            .iter()
            .map(|code| code.as_str())
            .chain(Cause::ALL.iter().map(|cause| cause.as_str()));
        for name in names {
            let page = explain(name).unwrap().to_string();
            assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        }
    }
}

//! Configuration that a spec update took away: it replaces the whole spec, so what the new one does not contain is gone.

use super::{Refinement, connections};
use crate::{
    Cause, NextStep,
    facts::{Facts, InstanceFacts},
    words,
};

/// Names in a message; the rest is with the changes.
const NAMES_SHOWN_MAX: usize = 5;

/// Whether this variable was taken away or emptied.
pub(super) fn is_removed(facts: &Facts, name: &str) -> bool {
    removed(facts).any(|gone| gone.eq_ignore_ascii_case(name))
}

/// A variable with the way to a database that was taken away or emptied.
pub(super) fn removed_database(facts: &Facts) -> Option<&str> {
    removed(facts).find(|name| connections::names_database(name))
}

/// The log says nothing; but variables went away, and nothing else is different from what worked, but perhaps the source.
pub(super) fn only_difference(facts: &Facts, instance: &InstanceFacts) -> Option<Refinement> {
    let names: Vec<String> = removed(facts).map(str::to_owned).collect();
    let changes = &facts.changes.sentences;
    let sources = changes.iter().filter(|change| is_of_source(change)).count();
    if instance.was_ready || names.is_empty() || names.len() + sources < changes.len() {
        return None;
    }
    let list = words::quoted_list(&names, NAMES_SHOWN_MAX);
    let rest = if sources == 0 {
        "nothing else is different"
    } else {
        "but for its source nothing else is different"
    };
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("- key: {name}\n  scope: RUN_TIME\n  value: <value>"))
        .collect();
    Some(Refinement {
        cause: Cause::ConfigurationRemoved,
        wording: format!("; this deployment took away {list}, which the last good one had, and {rest}"),
        hint: None,
        next_steps: vec![
            NextStep::new(format!(
                "Put {list} back: a spec update replaces the whole spec, so what it leaves out is gone."
            ))
            .with_spec(words::spec_lines(
                facts,
                &[&format!("envs:\n{}", lines.join("\n"))],
            )),
        ],
    })
}

fn is_of_source(change: &str) -> bool {
    change.contains(" is built from ")
}

/// Names from sentences like `services[web].envs[TOKEN] was removed` and `envs[TOKEN].value became empty`.
fn removed(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.changes.sentences.iter().filter_map(|change| {
        let path = change
            .strip_suffix(" became empty")
            .or_else(|| Some(change.split_once(" was removed")?.0))?;
        let (_, from_name) = path.split_once("envs[")?;
        let (name, rest) = from_name.split_once(']')?;
        matches!(rest, "" | ".value").then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use mainstay_spec::kind::ComponentKind;

    use super::*;
    use crate::facts::{Changes, InternalFacts, Subject};

    fn changed(changes: &[&str]) -> Facts {
        Facts {
            component: "web".into(),
            kind: ComponentKind::Service,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            subject: Subject::Internal(InternalFacts {
                incident_id: String::new(),
                operation: String::new(),
                error_chain: Vec::new(),
                attempts: 0,
            }),
            log_tail: Vec::new(),
            changes: Changes {
                since: None,
                sentences: changes.iter().map(|change| (*change).to_owned()).collect(),
            },
        }
    }

    #[test]
    fn names_are_read_from_the_differences() {
        let facts = changed(&[
            "services[web].envs[TOKEN] was removed",
            "envs[DATABASE_URL].value was removed",
            "envs[EMPTY].value became empty",
            "services[web].http_port was removed (it was 3000)",
            "services[web].envs[OTHER].value changed",
            "services[web].envs[SCOPED].scope was removed (it was BUILD_TIME)",
        ]);
        let names: Vec<&str> = removed(&facts).collect();
        assert_eq!(names, ["TOKEN", "DATABASE_URL", "EMPTY"]);
        assert!(is_removed(&facts, "token"));
        assert_eq!(removed_database(&facts), Some("DATABASE_URL"));
    }
}

//! Host names that do not exist, as the name server's answers told.

use crate::facts::{ExitRecord, InstanceFacts, UnknownName};

/// Which name it was, for a line of the log that speaks of a look-up and does not say so.
pub(super) fn looked_up(instance: &InstanceFacts, exit: &ExitRecord, line: &str) -> Option<String> {
    let own = exit.course.unknown_names.iter();
    let recent: Vec<&UnknownName> = own
        .chain(&instance.unknown_names)
        .filter(|unknown| unknown.is_shortly_before(exit.ended_at))
        .collect();
    let name = last_asked_for(&recent)?;
    (!line.contains(name))
        .then(|| format!("; the last name that it looked up and that does not exist: {name}"))
}

/// Of a name that was tried with the resolver's search domains appended, too, the name itself.
pub(crate) fn last_asked_for<'a>(unknown: &[&'a UnknownName]) -> Option<&'a str> {
    let last = unknown.last()?.name.as_str();
    let names = unknown.iter().map(|unknown| unknown.name.as_str());
    names
        .filter(|name| {
            last.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .min_by_key(|name| name.len())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_search_domain_is_no_part_of_the_name() {
        let unknown: Vec<UnknownName> = ["other.example", "cache.internal", "cache.internal.lan.example"]
            .map(|name| UnknownName {
                name: name.to_owned(),
                at: Timestamp::UNIX_EPOCH,
            })
            .to_vec();
        let all: Vec<&UnknownName> = unknown.iter().collect();
        assert_eq!(last_asked_for(&all), Some("cache.internal"));
        assert_eq!(last_asked_for(&all[..1]), Some("other.example"));
        assert_eq!(last_asked_for(&[]), None);
    }
}

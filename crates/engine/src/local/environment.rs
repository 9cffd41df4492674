//! The environment of a process: what the caller gave, and what every program may expect.

use std::collections::BTreeMap;

/// Where programs are, in the order of Debian's own default.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=value` for the process; PATH, HOME and HOSTNAME are added where they are missing.
pub(super) fn complete(given: &BTreeMap<String, String>, home: &str, hostname: &str) -> Vec<String> {
    let mut env = given.clone();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", home), ("HOSTNAME", hostname)] {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    env.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// An image that names none works in the root.
pub(super) fn working_dir(given: &str) -> &str {
    if given.is_empty() { "/" } else { given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_what_is_given_stays() {
        let given = BTreeMap::from([("PATH".to_owned(), "/app/bin".to_owned())]);
        let env = complete(&given, "/home/app", "web-0");
        assert_eq!(env, ["HOME=/home/app", "HOSTNAME=web-0", "PATH=/app/bin"]);
    }
}

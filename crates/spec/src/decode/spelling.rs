//! What a misspelt word was meant to be.

/// Longer words are not compared: they are no typing errors, and comparing costs time.
const WORD_CHARS_MAX: usize = 48;

/// Words that people know from elsewhere, and ours for them; used where the second one is a candidate.
const SYNONYMS: [(&str, &str); 22] = [
    ("buildcmd", "build_command"),
    ("cmd", "run_command"),
    ("command", "run_command"),
    ("cpu", "instance_size_slug"),
    ("dockerfile", "dockerfile_path"),
    ("docker_file", "dockerfile_path"),
    ("env", "envs"),
    ("environment", "envs"),
    ("env_vars", "envs"),
    ("healthcheck", "health_check"),
    ("instances", "instance_count"),
    ("replicas", "instance_count"),
    ("instance_size", "instance_size_slug"),
    ("size", "instance_size_slug"),
    ("path", "http_path"),
    ("port", "http_port"),
    ("publish_dir", "output_dir"),
    ("repository", "repo"),
    ("repo_url", "repo_clone_url"),
    ("url", "repo_clone_url"),
    ("start_command", "run_command"),
    ("variables", "envs"),
];

/// The candidate that `word` most probably stands for.
pub(crate) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let plain = bare(word);
    let all = || candidates.iter().copied();
    let known = |meant: &str| all().find(|candidate| *candidate == meant);
    all()
        .find(|candidate| bare(candidate) == plain)
        .or_else(|| {
            SYNONYMS
                .iter()
                .find(|(other, _)| bare(other) == plain)
                .and_then(|(_, ours)| known(ours))
        })
        .or_else(|| nearest(&plain, all()))
}

fn nearest<'a>(plain: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(plain, &bare(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= distance_max(plain.len().min(bare(candidate).len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A third of the word may be wrong, at most three characters; in the shortest words one.
fn distance_max(length: usize) -> usize {
    if length < 2 { 0 } else { (length / 3).clamp(1, 3) }
}

/// Without case, `_` and `-`: `httpPort` and `http-port` are `http_port`.
fn bare(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 8] = [
        "name",
        "http_port",
        "internal_ports",
        "run_command",
        "envs",
        "git",
        "github",
        "instance_count",
    ];

    #[test]
    fn typing_errors_and_other_spellings_are_understood() {
        for (word, meant) in [
            ("htp_port", "http_port"),
            ("httpPort", "http_port"),
            ("http-port", "http_port"),
            ("port", "http_port"),
            ("environment", "envs"),
            ("run_comand", "run_command"),
            ("gti", "git"),
            ("replicas", "instance_count"),
        ] {
            assert_eq!(closest(word, &FIELDS), Some(meant), "{word}");
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        for word in ["volumes", "x", "", "foo", &"a".repeat(5000)] {
            assert_eq!(closest(word, &FIELDS), None, "{word}");
        }
    }
}

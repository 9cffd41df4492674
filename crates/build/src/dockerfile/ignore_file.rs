//! `.dockerignore`: which rule, if any, keeps a path out of the build context.

/// The rules of one ignore file, in order; the last one that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IgnoreFile {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// From 1.
    pub line: u32,
    /// As written.
    pub text: String,
    parts: Vec<String>,
    negated: bool,
}

impl IgnoreFile {
    pub(crate) fn parse(text: &str) -> Self {
        let rules = text
            .trim_start_matches('\u{feff}')
            .lines()
            .zip(1u32..)
            .filter_map(|(written, line)| Rule::parse(written, line))
            .collect();
        Self { rules }
    }

    /// The rule that excludes `path` (clean, relative to the context), itself or through one of its parents.
    pub(crate) fn excluded_by(&self, path: &str) -> Option<&Rule> {
        let parts: Vec<&str> = path.split('/').collect();
        let mut decisive = None;
        for rule in &self.rules {
            if rule.matches_or_contains(&parts) {
                decisive = (!rule.negated).then_some(rule);
            }
        }
        decisive
    }

    /// Whether something below the directory `path` may be let in again by a later `!` rule.
    pub(crate) fn may_reinclude_below(&self, path: &str) -> bool {
        let first = path.split('/').next().unwrap_or_default();
        self.rules.iter().any(|rule| {
            rule.negated
                && rule
                    .parts
                    .first()
                    .is_some_and(|part| part == "**" || matches_part(part, first))
        })
    }
}

impl Rule {
    fn parse(written: &str, line: u32) -> Option<Self> {
        if written.starts_with('#') {
            return None;
        }
        let text = written.trim();
        let (negated, pattern) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        let cleaned = super::paths::clean_relative(pattern);
        if cleaned.is_empty() {
            return None;
        }
        let mut parts: Vec<String> = cleaned.split('/').map(str::to_owned).collect();
        // Several `**` in a row mean the same as one, and would make matching slow.
        parts.dedup_by(|next, previous| next == "**" && previous == "**");
        Some(Self {
            line,
            text: text.to_owned(),
            parts,
            negated,
        })
    }

    /// True when the rule matches the path or one of its parents.
    fn matches_or_contains(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|length| matches_parts(&self.parts, &path[..length]))
    }
}

/// Whether the pattern, part by part, matches the whole path. `**` stands for any number of parts.
pub(crate) fn matches_parts<P: AsRef<str>>(pattern: &[P], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (Some((first, rest)), _) if first.as_ref() == "**" => {
            matches_parts(rest, path) || (!path.is_empty() && matches_parts(pattern, &path[1..]))
        }
        (Some((first, rest)), Some((name, others))) => {
            matches_part(first.as_ref(), name) && matches_parts(rest, others)
        }
        (first, name) => first.is_none() && name.is_none(),
    }
}

/// Go's `filepath.Match` on one path part: `*`, `?`, `[a-z]`, `[^a]` and `\` for a literal. A malformed class matches nothing.
pub(crate) fn matches_part(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches_chars(&pattern, &name)
}

/// Backtracks to the last `*` only, so that the time stays below pattern length × name length.
fn matches_chars(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            star = Some((at + 1, position));
            at += 1;
            continue;
        }
        match (single(pattern, at), name.get(position)) {
            (None, None) => return true,
            (Some((accepts, next)), Some(&character)) if accepts.accepts(character) => {
                at = next;
                position += 1;
            }
            _ => match star {
                Some((after_star, from)) if from < name.len() => {
                    at = after_star;
                    position = from + 1;
                    star = Some((after_star, from + 1));
                }
                _ => return false,
            },
        }
    }
}

enum Single {
    Any,
    Literal(char),
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Malformed,
}

impl Single {
    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => *literal == character,
            Self::Class { ranges, negated } => {
                ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character))
                    != *negated
            }
            Self::Malformed => false,
        }
    }
}

/// The matcher at `at` and where the next one begins; `None` at the end of the pattern.
fn single(pattern: &[char], at: usize) -> Option<(Single, usize)> {
    Some(match *pattern.get(at)? {
        '?' => (Single::Any, at + 1),
        '\\' => match pattern.get(at + 1) {
            Some(&literal) => (Single::Literal(literal), at + 2),
            None => (Single::Malformed, at + 1),
        },
        '[' => class(pattern, at + 1),
        literal => (Single::Literal(literal), at + 1),
    })
}

fn class(pattern: &[char], start: usize) -> (Single, usize) {
    let mut at = start;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    while let Some(&low) = pattern.get(at) {
        if low == ']' && !ranges.is_empty() {
            return (Single::Class { ranges, negated }, at + 1);
        }
        if pattern.get(at + 1) == Some(&'-') && pattern.get(at + 2).is_some_and(|high| *high != ']') {
            ranges.push((low, pattern[at + 2]));
            at += 3;
        } else {
            ranges.push((low, low));
            at += 1;
        }
    }
    (Single::Malformed, pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, path: &str) -> Option<u32> {
        IgnoreFile::parse(rules).excluded_by(path).map(|rule| rule.line)
    }

    #[test]
    fn the_rule_and_its_line_are_named() {
        assert_eq!(excluded("# comment\n\ndeploy/\n", "deploy/config.toml"), Some(3));
        assert_eq!(excluded("deploy", "src/deploy"), None);
    }

    #[test]
    fn the_last_matching_rule_decides() {
        assert_eq!(excluded("*.md\n!README.md", "README.md"), None);
        assert_eq!(excluded("!README.md\n*.md", "README.md"), Some(2));
    }

    #[test]
    fn double_stars_span_directories() {
        assert_eq!(excluded("**/*.log", "a/b/c.log"), Some(1));
        assert_eq!(excluded("**/*.log", "c.log"), Some(1));
        assert_eq!(excluded("a/**", "a/b/c"), Some(1));
        assert_eq!(excluded("a/**/c", "a/c"), Some(1));
    }

    #[test]
    fn single_parts_match_like_go() {
        for (pattern, name, expected) in [
            ("*.js", "app.js", true),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("\\*", "*", true),
            ("[", "[", false),
            ("*", "", true),
        ] {
            assert_eq!(matches_part(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_negation_below_an_excluded_directory_is_seen() {
        let rules = IgnoreFile::parse("node_modules\n!node_modules/keep");
        assert!(rules.may_reinclude_below("node_modules"));
        assert!(!IgnoreFile::parse("dist\n!src/x").may_reinclude_below("dist"));
    }
}

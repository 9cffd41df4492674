//! Variables in instructions: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}`, and words of `ARG` and `ENV`.

use std::collections::BTreeMap;

/// Values known before the build. What the base image sets is not among them.
pub(super) type Variables = BTreeMap<String, String>;

/// A variable whose value only the build itself will know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown(pub String);

/// The word with its variables replaced.
pub(super) fn expand(word: &str, variables: &Variables, escape: char) -> Result<String, Unknown> {
    let mut result = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        if character == escape && after.starts_with('$') {
            result.push('$');
            rest = &after[1..];
        } else if character == '$' {
            let (value, remaining) = reference(after, variables, escape)?;
            result.push_str(&value);
            rest = remaining;
        } else {
            result.push(character);
            rest = after;
        }
    }
    Ok(result)
}

/// What stands after a `$`, and the text behind it.
fn reference<'a>(text: &'a str, variables: &Variables, escape: char) -> Result<(String, &'a str), Unknown> {
    let Some(braced) = text.strip_prefix('{') else {
        let length = name_length(text);
        if length == 0 {
            return Ok(("$".to_owned(), text));
        }
        let name = &text[..length];
        return Ok((lookup(name, variables)?, &text[length..]));
    };
    let close = closing_brace(braced).ok_or_else(|| Unknown(braced.to_owned()))?;
    let (inside, remaining) = (&braced[..close], &braced[close + 1..]);
    Ok((braced_value(inside, variables, escape)?, remaining))
}

fn braced_value(inside: &str, variables: &Variables, escape: char) -> Result<String, Unknown> {
    let length = name_length(inside);
    let (name, modifier) = inside.split_at(length);
    let known = variables.get(name);
    let (colon, modifier) = match modifier.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, modifier),
    };
    let is_set = known.is_some_and(|value| !colon || !value.is_empty());
    match modifier.chars().next() {
        None if !colon => lookup(name, variables),
        // A base image may set the variable too, so only a value of the Dockerfile itself is certain.
        Some('-') if is_set => lookup(name, variables),
        Some('-') => expand(&modifier[1..], variables, escape),
        Some('+') if is_set => expand(&modifier[1..], variables, escape),
        Some('+') => Ok(String::new()),
        _ => Err(Unknown(name.to_owned())),
    }
}

fn lookup(name: &str, variables: &Variables) -> Result<String, Unknown> {
    variables
        .get(name)
        .cloned()
        .ok_or_else(|| Unknown(name.to_owned()))
}

fn name_length(text: &str) -> usize {
    text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len())
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (position, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(position);
        }
    }
    None
}

/// Splits `A=1 B="two words" C` into names and values; quotes and escapes are taken off. `NAME value…` (the old `ENV` form) is one pair.
pub(super) fn pairs(text: &str, escape: char, old_form: bool) -> Vec<(String, Option<String>)> {
    let words = words(text, escape);
    if old_form && words.first().is_some_and(|word| !word.contains('=')) {
        let name = words[0].clone();
        let value = text.trim_start()[name.len().min(text.trim_start().len())..]
            .trim()
            .to_owned();
        return vec![(name, Some(value))];
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        })
        .collect()
}

fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut started = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if close == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                started = true;
            }
            (None, blank) if blank.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            (_, escaped) if escaped == escape && quote != Some('\'') => {
                started = true;
                match characters.next() {
                    Some('$') => word.extend([escape, '$']),
                    Some(next) => word.push(next),
                    None => {}
                }
            }
            (_, other) => {
                started = true;
                word.push(other);
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Variables {
        [("V", "3"), ("EMPTY", "")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn all_forms_are_replaced() {
        for (word, expected) in [
            ("node:$V", "node:3"),
            ("node:${V}-slim", "node:3-slim"),
            ("${NONE:-x$V}", "x3"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${V:+set}", "set"),
            ("a\\$V", "a$V"),
            ("100$", "100$"),
        ] {
            assert_eq!(expand(word, &known(), '\\').as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert_eq!(expand("$HOME/x", &known(), '\\'), Err(Unknown("HOME".to_owned())));
    }

    #[test]
    fn words_lose_their_quotes() {
        assert_eq!(
            pairs("A=1 B=\"two words\" C", '\\', false),
            [
                ("A".to_owned(), Some("1".to_owned())),
                ("B".to_owned(), Some("two words".to_owned())),
                ("C".to_owned(), None),
            ]
        );
        assert_eq!(
            pairs("PATH /a b", '\\', true),
            [("PATH".to_owned(), Some("/a b".to_owned()))]
        );
    }
}

//! Small readers of lines.

use std::borrow::Cow;

/// The line without terminal escapes: colors and cursor movements (ECMA-48, section 5.4).
pub(super) fn without_escapes(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
        } else if characters.next_if_eq(&'[').is_some() {
            // Parameters, then one final letter.
            characters
                .by_ref()
                .find(|next| ('\u{40}'..='\u{7e}').contains(next));
        }
    }
    Cow::Owned(plain)
}

/// What follows `mark`.
pub(super) fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest)
}

/// What stands between two marks.
pub(super) fn between<'a>(line: &'a str, from: &str, to: &str) -> Option<&'a str> {
    after(line, from)?.split_once(to).map(|(inner, _)| inner)
}

/// The first text in quotes of any kind. An apostrophe inside a word ("couldn't") opens none.
pub(super) fn quoted(line: &str) -> Option<&str> {
    let mut previous = ' ';
    for (at, character) in line.char_indices() {
        let closing = match character {
            '\'' | '"' | '`' => character,
            '‘' => '’',
            '“' => '”',
            _ => ' ',
        };
        if closing != ' ' && !previous.is_alphanumeric() {
            let rest = &line[at + character.len_utf8()..];
            return rest.split_once(closing).map(|(inner, _)| inner);
        }
        previous = character;
    }
    None
}

/// The first word that begins with `prefix`: an identifier inside a sentence.
pub(super) fn word_with<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    line.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .find(|word| word.starts_with(prefix) && word.len() > prefix.len())
}

/// The package of a specifier: "foo" of "foo@^1.0.0", "@a/b" of "@a/b@1".
pub(super) fn package_of(specifier: &str) -> &str {
    let specifier = specifier.trim().trim_matches(['\'', '"', '`', '.']);
    match specifier
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '@')
    {
        Some((end, _)) => &specifier[..end],
        None => specifier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(without_escapes("\u{1b}[31merror\u{1b}[0m x"), "error x");
    }

    #[test]
    fn packages_keep_their_scope() {
        assert_eq!(package_of("'@types/node@^20'"), "@types/node");
        assert_eq!(package_of("left-pad@1.3.0"), "left-pad");
        assert_eq!(package_of("vite"), "vite");
    }
}

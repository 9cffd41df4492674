//! The path of a request, decided once before routing, so that no spelling of `..` gets around a prefix route.

use std::borrow::Cow;

/// The path has no single meaning: the router would see another path than the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbiguousPath;

/// Resolves dot segments, also encoded ones, and leading `//`. Everything else stays as it was sent: `%2F` inside a segment and
/// `//` further right belong to the app.
///
/// Refused are `..` above the root, an encoded NUL, and dot segments that only appear once encoded separators, backslashes or
/// `;parameters` are read the way some servers read them.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.trim_start_matches('/').split('/') {
        ends_in_directory = false;
        match classify(segment)? {
            Segment::Name => kept.push(segment),
            Segment::Here => ends_in_directory = true,
            Segment::Up => {
                kept.pop().ok_or(AmbiguousPath)?;
                ends_in_directory = true;
            }
        }
    }
    if ends_in_directory && kept.last().is_some_and(|last| !last.is_empty()) {
        kept.push("");
    }
    Ok(Cow::Owned(format!("/{}", kept.join("/"))))
}

/// True for nearly all requests: nothing to decide, nothing to copy.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for (at, &byte) in path.iter().enumerate() {
        match byte {
            b'%' | b'\\' => return false,
            b'.' if previous == b'/' => return false,
            b'/' if previous == b'/' && at == 1 => return false,
            _ => previous = byte,
        }
    }
    true
}

enum Segment {
    Name,
    Here,
    Up,
}

fn classify(segment: &str) -> Result<Segment, AmbiguousPath> {
    let seen = decode_separators_and_dots(segment)?;
    match seen.as_str() {
        "." => Ok(Segment::Here),
        ".." => Ok(Segment::Up),
        other if other.split(['/', ';']).any(|part| part == "." || part == "..") => Err(AmbiguousPath),
        _ => Ok(Segment::Name),
    }
}

/// The segment as the most generous server reads it: `%2e` as a dot; `%2f`, `%5c` and a backslash as a slash.
fn decode_separators_and_dots(segment: &str) -> Result<String, AmbiguousPath> {
    let mut seen = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(first) = rest.chars().next() {
        let code = rest.get(..3).filter(|code| code.starts_with('%'));
        let (character, length) = match code.map(str::to_ascii_lowercase).as_deref() {
            Some("%00") => return Err(AmbiguousPath),
            Some("%2e") => ('.', 3),
            Some("%2f" | "%5c") => ('/', 3),
            Some("%3b") => (';', 3),
            _ if first == '\\' => ('/', 1),
            _ => (first, first.len_utf8()),
        };
        seen.push(character);
        rest = &rest[length..];
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_not_copied() {
        for path in [
            "/",
            "/a/b",
            "/a/b/",
            "/a//b",
            "/file.txt",
            "/a..b",
            "/proxy/http://x",
        ] {
            assert!(
                matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn dot_segments_are_resolved() {
        let cases = [
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("//a/%2e%2e/b", "/b"),
            ("/a/%2E./b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("//a", "/a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/%2Fb", "/a/%2Fb"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/100%", "/100%"),
            ("/a/...", "/a/..."),
        ];
        for (sent, meant) in cases {
            assert_eq!(normalise(sent).as_deref(), Ok(meant), "{sent}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for path in [
            "/..",
            "/../a",
            "/a/../../b",
            "/a/..%2fb",
            "/a/%2e%2e%2fb",
            "/a/..%5cb",
            "/a/..\\b",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a%00b",
            "/a/b%2f..",
            "/a/..%3bx/b",
        ] {
            assert_eq!(normalise(path), Err(AmbiguousPath), "{path}");
        }
    }
}

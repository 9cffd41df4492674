//! How amounts, times, commands and lists are written in sentences.

use std::borrow::Cow;

use jiff::Timestamp;
use mainstay_spec::kind::ComponentKind;

use crate::facts::{Facts, ListeningSocket};

/// "512 MiB", "1.5 GiB", "900 KiB", "12 bytes".
pub(crate) fn bytes(amount: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (size, unit) in UNITS {
        if amount >= size {
            let tenths = (u128::from(amount) * 10 + u128::from(size) / 2) / u128::from(size);
            return if tenths % 10 == 0 {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{amount} bytes")
}

/// "0.4 s", "74 s", "12 min 3 s", "2 h 5 min".
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..120 => format!("{seconds} s"),
        120..7200 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Milliseconds from one moment to a later one; 0 when they stand the other way round.
pub(crate) fn milliseconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// "service `web`"; without a name, what is said is of the whole app.
pub(crate) fn component(facts: &Facts) -> String {
    if facts.component.is_empty() {
        return "the app".to_owned();
    }
    format!("{} `{}`", facts.kind.noun(), facts.component)
}

/// "Service `web`".
pub(crate) fn component_at_start(facts: &Facts) -> String {
    capitalized(&component(facts))
}

pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// "a, b and c"; of more than `max`, "a, b and 7 more".
pub(crate) fn list<T: AsRef<str>>(items: &[T], max: usize) -> String {
    let shown: Vec<&str> = items.iter().take(max).map(AsRef::as_ref).collect();
    let hidden = items.len() - shown.len();
    match (shown.as_slice(), hidden) {
        ([], 0) => "none".to_owned(),
        ([], hidden) => format!("{hidden} of them"),
        (shown, 1..) => format!("{} and {hidden} more", shown.join(", ")),
        ([one], 0) => (*one).to_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
    }
}

/// "`a`, `b` and `c`".
pub(crate) fn quoted_list<T: AsRef<str>>(items: &[T], max: usize) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("`{}`", item.as_ref())).collect();
    list(&quoted, max)
}

/// A command as one would type it: `sh -c 'a && b'`.
pub(crate) fn command(argv: &[String]) -> String {
    argv.iter()
        .map(|word| shell_word(word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The first line of a text, cut to `max` characters.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    excerpt_line(text.trim().lines().next().unwrap_or_default(), max)
}

/// A line, its indentation kept, cut to `max` characters; colours are left out, and other control characters are made visible.
pub(crate) fn excerpt_line(line: &str, max: usize) -> String {
    let line: String = without_escapes(line)
        .trim_end()
        .replace('\t', "    ")
        .chars()
        .map(visible)
        .collect();
    if line.chars().count() <= max {
        return line;
    }
    let mut cut: String = line.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Without what colours a line on a terminal (ECMA-48 control sequences).
pub(crate) fn without_escapes(line: &str) -> Cow<'_, str> {
    if !line.contains("\u{1b}[") {
        return Cow::Borrowed(line);
    }
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Parameters, then one final letter.
        let end = part.find(|character| ('\u{40}'..='\u{7e}').contains(&character));
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    Cow::Owned(plain)
}

/// The first line of a text from shortly before this place on, where all of it would not fit into `max` characters: what matters is shown.
pub(crate) fn excerpt_at(text: &str, place: &str, max: usize) -> String {
    const BEFORE: usize = 30;
    let text = text.trim();
    let at = text.to_ascii_lowercase().find(place).unwrap_or(0);
    let fits = text.chars().count() <= max || at + place.len() < max;
    let from = if fits { 0 } else { at.saturating_sub(BEFORE) };
    match text[..at].char_indices().find(|(index, _)| *index >= from) {
        Some((start, _)) if start > 0 => format!("…{}", excerpt(&text[start..], max - 1)),
        _ => excerpt(text, max),
    }
}

/// Terminal escapes and other control characters do nothing in a card.
fn visible(character: char) -> char {
    if character.is_control() { '·' } else { character }
}

/// `0.0.0.0:3000`, `[::1]:8080`.
pub(crate) fn socket_address(socket: &ListeningSocket) -> String {
    std::net::SocketAddr::new(socket.address, socket.port).to_string()
}

/// "`node` (pid 7)", "pid 7", "the process".
pub(crate) fn socket_owner(socket: &ListeningSocket) -> String {
    match (&socket.program, socket.pid) {
        (Some(program), Some(pid)) => format!("`{program}` (pid {pid})"),
        (Some(program), None) => format!("`{program}`"),
        (None, Some(pid)) => format!("pid {pid}"),
        (None, None) => "the process".to_owned(),
    }
}

/// The most similar of the names, where one is similar enough to be meant.
pub(crate) fn nearest<'a>(wanted: &str, existing: &'a [String]) -> Option<&'a String> {
    let plain = |path: &str| path.trim_start_matches("./").trim_matches('/').to_owned();
    existing
        .iter()
        .map(|name| (strsim::jaro_winkler(&plain(wanted), &plain(name)), name))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

/// "404 Not Found", "418".
pub(crate) fn http_status(status: u16) -> String {
    let phrase = match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return status.to_string(),
    };
    format!("{status} {phrase}")
}

/// The list of the app spec in which a component of this kind stands.
pub(crate) fn spec_list(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Service => "services",
        ComponentKind::Worker => "workers",
        ComponentKind::Job => "jobs",
        ComponentKind::StaticSite => "static_sites",
        ComponentKind::Functions => "functions",
        ComponentKind::Database => "databases",
    }
}

/// Lines of the app spec that set fields of the component; `fields` may be indented further themselves.
pub(crate) fn spec_lines(facts: &Facts, fields: &[&str]) -> String {
    let mut lines = format!("{}:\n- name: {}", spec_list(facts.kind), facts.component);
    for line in fields.iter().flat_map(|field| field.lines()) {
        lines.push_str("\n  ");
        lines.push_str(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_exact() {
        assert_eq!(bytes(512 << 20), "512 MiB");
        assert_eq!(bytes(1536 << 20), "1.5 GiB");
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(u64::MAX), "16777216 TiB");
    }

    #[test]
    fn times_fit_their_size() {
        assert_eq!(duration(420), "0.4 s");
        assert_eq!(duration(74_000), "74 s");
        assert_eq!(duration(3_600_000), "60 min");
        assert_eq!(duration(7_500_000), "2 h 5 min");
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(list(&["a"], 3), "a");
        assert_eq!(list(&["a", "b"], 3), "a and b");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(list::<&str>(&[], 2), "none");
    }

    #[test]
    fn commands_can_be_pasted() {
        let argv = ["sh", "-c", "echo 'a' && b"].map(str::to_owned);
        assert_eq!(command(&argv), r"sh -c 'echo '\''a'\'' && b'");
    }
}

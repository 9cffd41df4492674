//! The shapes of names, paths, hosts and URLs.

pub(super) const NAME_RULE: &str = "must be 2 to 32 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen";

/// `^[a-z][a-z0-9-]{0,30}[a-z0-9]$`
pub(super) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (2..=32).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// The nearest valid name, for a suggestion.
pub(super) fn as_name(text: &str) -> Option<String> {
    let spelled: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if matches!(c, '_' | ' ' | '.') { '-' } else { c })
        .collect();
    let cut: String = spelled.chars().take(32).collect();
    let name = cut
        .trim_start_matches(|c: char| !c.is_ascii_lowercase())
        .trim_end_matches('-');
    (is_name(name) && name != text).then(|| name.to_owned())
}

/// `^[_A-Za-z][_A-Za-z0-9]*$`
pub(super) fn is_variable_key(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// Labels of letters, digits and inner hyphens, at least two, ending in one without a digit-only name.
pub(super) fn is_domain(text: &str) -> bool {
    let host = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<&str> = host.split('.').collect();
    let label_is_fine = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (4..=253).contains(&text.len())
        && labels.len() >= 2
        && labels.iter().all(label_is_fine)
        && labels
            .last()
            .is_some_and(|last| last.len() >= 2 && last.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

pub(super) fn is_https_url(text: &str) -> bool {
    has_host_after(text, "https://")
}

fn has_host_after(text: &str, scheme: &str) -> bool {
    let host = text
        .strip_prefix(scheme)
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    host.is_some_and(|host| !host.is_empty()) && is_printable(text)
}

/// An absolute path of a URL.
pub(super) fn is_url_path(text: &str) -> bool {
    text.starts_with('/') && is_printable(text)
}

/// A path that stays below where it starts.
pub(super) fn is_inner_path(text: &str) -> bool {
    !text.split('/').any(|part| part == "..") && !text.contains(['\0', '\n', '\r'])
}

pub(super) fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

/// What git may be asked to clone: no option, no transport that runs commands.
/// `upload://` names a folder that was uploaded to the platform.
pub(super) fn is_clone_url(text: &str) -> bool {
    let has_scheme = ["http://", "https://", "ssh://", "git://", "file://", "upload://"]
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    let is_absolute_path = text.starts_with('/') && text.len() > 1;
    let is_scp_like = text.split_once(':').is_some_and(|(host, path)| {
        host.contains('@') && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
    });
    !text.starts_with('-') && is_printable(text) && (has_scheme || is_absolute_path || is_scp_like)
}

/// A git branch or tag name, near enough to refuse options and separators.
pub(super) fn is_branch(text: &str) -> bool {
    !text.starts_with(['-', '/'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && is_printable(text)
        && !text.contains(['~', '^', ':', '?', '*', '[', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["ab", "web", "web-1", &"a".repeat(32)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["a", "Web", "1web", "web-", "web_1", "", &"a".repeat(33), "wéb"] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!(as_name("My_App").as_deref(), Some("my-app"));
        assert_eq!(as_name("1_"), None);
    }

    #[test]
    fn domains() {
        for domain in [
            "example.com",
            "a.b-c.example.com.",
            "xn--bcher-kva.example",
            "app.localhost",
        ] {
            assert!(is_domain(domain), "{domain}");
        }
        for domain in [
            "localhost",
            "-a.com",
            "a..com",
            "1.2.3.4",
            "*.example.com",
            "a b.com",
            "http://a.com",
        ] {
            assert!(!is_domain(domain), "{domain}");
        }
    }

    #[test]
    fn clone_urls_cannot_be_options_or_commands() {
        for url in [
            "https://example.com/a.git",
            "git@example.com:a/b.git",
            "ssh://git@h/a",
            "/srv/a.git",
            "file:///a",
        ] {
            assert!(is_clone_url(url), "{url}");
        }
        for url in [
            "--upload-pack=x",
            "ext::sh -c x",
            "ext::x",
            "a/b",
            "",
            "https://",
            "https://a b",
            "fd::17",
        ] {
            assert!(!is_clone_url(url), "{url}");
        }
    }

    #[test]
    fn branches() {
        assert!(is_branch("main") && is_branch("feature/a-1"));
        for branch in ["-x", "a..b", "a b", "/a", "a:b"] {
            assert!(!is_branch(branch), "{branch}");
        }
    }
}

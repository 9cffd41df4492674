//! Conditional and partial requests: RFC 9110, sections 13 and 14.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};

use super::{content::Encoding, files::OpenFile};

#[derive(Debug)]
pub struct Validators {
    pub etag: HeaderValue,
    pub last_modified: HeaderValue,
    modified: SystemTime,
}

/// What of a file is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Preconditions {
    Everything,
    /// From the first byte to the one behind the last.
    Range(u64, u64),
    NotModified,
    RangeNotSatisfiable,
}

impl Validators {
    pub fn of(file: &OpenFile, encoding: Option<Encoding>) -> Self {
        let modified = UNIX_EPOCH + Duration::from_secs(file.changed_seconds);
        let etag = format!(
            "\"{:x}-{:x}{:08x}-{:x}{}\"",
            file.inode,
            file.changed_seconds,
            file.changed_nanoseconds,
            file.bytes,
            encoding.map_or("", Encoding::suffix)
        );
        let visible =
            |text: &str| HeaderValue::from_str(text).expect("digits, letters and punctuation are valid");
        Self {
            etag: visible(&etag),
            last_modified: visible(&httpdate::fmt_http_date(modified)),
            modified,
        }
    }
}

pub fn evaluate(headers: &HeaderMap, validators: &Validators, bytes: u64) -> Preconditions {
    if is_not_modified(headers, validators) {
        return Preconditions::NotModified;
    }
    match headers.get(header::RANGE).and_then(|range| range.to_str().ok()) {
        Some(range) if range_still_holds(headers, validators) => parse_range(range, bytes),
        _ => Preconditions::Everything,
    }
}

/// `If-Modified-Since` counts only without `If-None-Match`.
fn is_not_modified(headers: &HeaderMap, validators: &Validators) -> bool {
    let mut known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .peekable();
    if known.peek().is_some() {
        let ours = validators.etag.to_str().unwrap_or_default();
        let mut tags = known.flat_map(|value| value.split(',')).map(str::trim);
        return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == ours);
    }
    let since = headers
        .get(header::IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok());
    since
        .and_then(|since| httpdate::parse_http_date(since).ok())
        .is_some_and(|since| validators.modified <= since)
}

fn range_still_holds(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else {
        return true;
    };
    condition == validators.etag || condition == validators.last_modified
}

/// One range; several are answered with everything, which is always allowed.
fn parse_range(range: &str, bytes: u64) -> Preconditions {
    let parts = range
        .strip_prefix("bytes=")
        .filter(|rest| !rest.contains(','))
        .and_then(|rest| rest.split_once('-'));
    let Some((first, last)) = parts.map(|(first, last)| (first.trim(), last.trim())) else {
        return Preconditions::Everything;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(bytes)),
        (Ok(start), Err(_)) if last.is_empty() => (start, bytes),
        (Err(_), Ok(length)) if first.is_empty() && length > 0 => (bytes.saturating_sub(length), bytes),
        (Err(_), Ok(0)) if first.is_empty() => return Preconditions::RangeNotSatisfiable,
        _ => return Preconditions::Everything,
    };
    if start >= end {
        Preconditions::RangeNotSatisfiable
    } else {
        Preconditions::Range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validators() -> Validators {
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        Validators {
            etag: HeaderValue::from_static("\"a\""),
            last_modified: HeaderValue::from_str(&httpdate::fmt_http_date(modified)).unwrap(),
            modified,
        }
    }

    fn evaluated(lines: &[(&'static str, &'static str)]) -> Preconditions {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        evaluate(&headers, &validators(), 100)
    }

    #[test]
    fn unchanged_files_are_not_sent_again() {
        let same_date = ("if-modified-since", "Sun, 09 Sep 2001 01:46:40 GMT");
        let earlier = ("if-modified-since", "Sun, 09 Sep 2001 01:46:39 GMT");
        assert_eq!(
            evaluated(&[("if-none-match", "\"b\", W/\"a\"")]),
            Preconditions::NotModified
        );
        assert_eq!(evaluated(&[("if-none-match", "*")]), Preconditions::NotModified);
        assert_eq!(evaluated(&[same_date]), Preconditions::NotModified);
        assert_eq!(evaluated(&[earlier]), Preconditions::Everything);
        assert_eq!(
            evaluated(&[("if-none-match", "\"b\""), same_date]),
            Preconditions::Everything
        );
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        let cases = [
            ("bytes=0-0", Preconditions::Range(0, 1)),
            ("bytes=10-", Preconditions::Range(10, 100)),
            ("bytes=10-500", Preconditions::Range(10, 100)),
            ("bytes=-30", Preconditions::Range(70, 100)),
            ("bytes=-500", Preconditions::Range(0, 100)),
            ("bytes=100-", Preconditions::RangeNotSatisfiable),
            ("bytes=-0", Preconditions::RangeNotSatisfiable),
            ("bytes=5-2", Preconditions::Everything),
            ("bytes=0-1,5-6", Preconditions::Everything),
            ("bytes=x", Preconditions::Everything),
            ("lines=0-1", Preconditions::Everything),
        ];
        for (range, expected) in cases {
            assert_eq!(evaluated(&[("range", range)]), expected, "{range}");
        }
        assert_eq!(
            evaluated(&[("range", "bytes=0-0"), ("if-range", "\"b\"")]),
            Preconditions::Everything
        );
        assert_eq!(
            evaluated(&[("range", "bytes=0-0"), ("if-range", "\"a\"")]),
            Preconditions::Range(0, 1)
        );
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        assert_eq!(parse_range("bytes=0-", 0), Preconditions::RangeNotSatisfiable);
    }
}

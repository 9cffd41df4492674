//! What a file contains and in which coding it is sent.

use std::borrow::Cow;

use http::HeaderValue;

/// A compressed copy beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// The media type by the file name's extension; text is UTF-8.
pub fn type_of(name: &str) -> Cow<'static, str> {
    let Some(media_type) = mime_guess::from_path(name).first_raw() else {
        return "application/octet-stream".into();
    };
    let is_text = media_type.starts_with("text/")
        || matches!(
            media_type,
            "application/javascript" | "application/json" | "application/xml" | "image/svg+xml"
        );
    if is_text {
        format!("{media_type}; charset=utf-8").into()
    } else {
        media_type.into()
    }
}

pub fn is_compressible(content_type: &str) -> bool {
    content_type.contains("charset=utf-8")
        || matches!(content_type, "application/wasm" | "application/manifest+json")
}

/// What the visitor takes, best first.
pub fn accepted(accept: Option<&HeaderValue>) -> impl Iterator<Item = Encoding> {
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    [Encoding::Brotli, Encoding::Gzip]
        .into_iter()
        .filter(move |encoding| {
            accept.split(',').any(|part| {
                let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
                let refused = parameters
                    .trim()
                    .strip_prefix("q=")
                    .is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
                name.trim().eq_ignore_ascii_case(encoding.name()) && !refused
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_extension() {
        let cases = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/app.js", "text/javascript; charset=utf-8"),
            ("app.css", "text/css; charset=utf-8"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.wasm", "application/wasm"),
            ("noextension", "application/octet-stream"),
        ];
        for (name, content_type) in cases {
            assert_eq!(type_of(name), content_type);
        }
    }

    #[test]
    fn encodings_are_those_that_the_visitor_takes() {
        let accepted =
            |text: &'static str| accepted(Some(&HeaderValue::from_static(text))).collect::<Vec<_>>();
        assert_eq!(accepted("gzip, deflate, br"), [Encoding::Brotli, Encoding::Gzip]);
        assert_eq!(accepted("gzip;q=0.5, br;q=0"), [Encoding::Gzip]);
        assert_eq!(accepted("identity"), []);
    }
}

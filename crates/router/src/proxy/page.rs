//! The router's own answers: a page for browsers, JSON or a line of text for everything else.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use super::{body::Source, refusal::Refusal};

/// What the visitor's `Accept` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Html,
    Json,
    Text,
}

impl Format {
    pub fn wanted(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        if accept.contains("text/html") {
            Self::Html
        } else if accept.contains("json") {
            Self::Json
        } else {
            Self::Text
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

pub fn refuse(refusal: &Refusal, accept: Option<&HeaderValue>, request_id: &HeaderValue) -> Response<Source> {
    let format = Format::wanted(accept);
    let text = body(refusal, format, request_id.to_str().unwrap_or_default());
    let mut response = Response::new(Source::Full(Bytes::from(text)));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, format.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("mainstay-detail", HeaderValue::from_static(refusal.detail()));
    if let Some(code) = refusal.reason().and_then(|code| HeaderValue::from_str(code).ok()) {
        headers.insert("mainstay-reason", code);
    }
    advise(headers, refusal);
    response
}

fn advise(headers: &mut HeaderMap, refusal: &Refusal) {
    match refusal {
        Refusal::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Refusal::EndpointSaturated => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
}

fn body(refusal: &Refusal, format: Format, request_id: &str) -> String {
    let status = refusal.status();
    let sentence = refusal.sentence();
    let name = refusal.reason().unwrap_or(refusal.detail());
    match format {
        Format::Text => format!("{sentence}\n{name}, request {request_id}\n"),
        Format::Json => {
            serde_json::json!({ "id": name, "message": sentence, "request_id": request_id }).to_string()
                + "\n"
        }
        Format::Html => format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\nbody {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 18vh auto 0; padding: 0 1.5rem; \
             color: #1c2330; background: #fff }}\nh1 {{ font-size: 1.4rem; margin: 0 }}\n\
             small, code {{ color: #5b6577; font-size: .85rem }}\n\
             @media (prefers-color-scheme: dark) {{ body {{ color: #e6e9ef; background: #14181f }} small, code {{ color: #97a1b3 }} }}\n\
             </style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{sentence}</p>\n<p><code>{name}</code><br><small>request {id}</small></p>\n\
             </body>\n</html>\n",
            title = escape(&title(status)),
            sentence = escape(sentence),
            name = escape(name),
            id = escape(request_id),
        ),
    }
}

fn title(status: http::StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Unavailable;

    fn crashed() -> Refusal {
        Refusal::Unavailable(Unavailable {
            status: 503,
            code: Some("ContainerExitNonZero".into()),
            sentence: "web ended with <exit code 3>.".into(),
        })
    }

    #[test]
    fn the_format_follows_the_accept_header() {
        let cases = [
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Html),
            ("application/json", Format::Json),
            ("*/*", Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::wanted(Some(&HeaderValue::from_static(accept))), format);
        }
        assert_eq!(Format::wanted(None), Format::Text);
    }

    #[test]
    fn a_page_carries_code_sentence_and_request_and_escapes_them() {
        let page = body(&crashed(), Format::Html, "abc");
        assert!(page.contains("web ended with &lt;exit code 3&gt;."), "{page}");
        assert!(
            page.contains("ContainerExitNonZero") && page.contains("request abc"),
            "{page}"
        );
    }

    #[test]
    fn the_headers_carry_reason_and_detail() {
        let response = refuse(&crashed(), None, &HeaderValue::from_static("abc"));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["mainstay-reason"], "ContainerExitNonZero");
        assert_eq!(response.headers()["mainstay-detail"], "unavailable");
    }
}

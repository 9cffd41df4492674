//! Reading requests: pages, specs, and the address that the client used.

use axum::{
    extract::{self, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, request::Parts},
};
use mainstay_api::{ErrorId, PageQuery};
use mainstay_spec::{Format, ParsedSpec, SpecError, ids::AppId, parse};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ApiError;
use crate::app::{Refusal, apps::Page};

/// Parts of the path. What they cannot be read as is refused as everything else is.
#[derive(Debug)]
pub(crate) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Path::from_request_parts(parts, state).await;
        let extract::Path(value) = read.map_err(|refused| ApiError::bad_request(refused.body_text()))?;
        Ok(Self(value))
    }
}

/// The query.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Query::from_request_parts(parts, state).await;
        let extract::Query(value) = read.map_err(|refused| ApiError::bad_request(refused.body_text()))?;
        Ok(Self(value))
    }
}

/// The body, in UTF-8.
#[derive(Debug)]
pub(crate) struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = String::from_request(request, state).await;
        read.map(Self).map_err(|refused| match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(ErrorId::PayloadTooLarge, refused.body_text()),
            _ => ApiError::bad_request(refused.body_text()),
        })
    }
}

/// The page asked for.
///
/// # Errors
/// A page of 0, or a size that no page may have.
pub(crate) fn page(query: PageQuery) -> Result<Page, ApiError> {
    if query.page == 0 {
        return Err(ApiError::bad_request("page is 0; pages are counted from 1"));
    }
    if !(1..=PageQuery::PER_PAGE_MAX).contains(&query.per_page) {
        let message = format!(
            "per_page is {}; it must be between 1 and {}",
            query.per_page,
            PageQuery::PER_PAGE_MAX
        );
        return Err(ApiError::bad_request(message));
    }
    Ok(Page {
        number: query.page,
        size: query.per_page,
    })
}

/// A request with a spec in it, and its other fields.
#[derive(Debug)]
pub(crate) struct SpecRequest {
    pub parsed: ParsedSpec,
    pub fields: Value,
}

impl SpecRequest {
    /// Reads `{"spec": {...}, ...}` in JSON, or a spec in YAML.
    pub(crate) fn read(headers: &HeaderMap, body: &str) -> Result<Self, ApiError> {
        let content_type = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if content_type.contains("yaml") {
            return Ok(Self {
                parsed: parse(body, Format::Yaml)?,
                fields: Value::Null,
            });
        }
        let mut fields: Value = serde_json::from_str(body)
            .map_err(|error| ApiError::bad_request(format!("the body is no valid JSON: {error}")))?;
        let spec = fields.get_mut("spec").map(Value::take);
        let spec = spec
            .filter(|spec| !spec.is_null())
            .ok_or_else(|| ApiError::bad_request("the field spec is missing"))?;
        // Parsed again from text: the spec's own reader finds all errors at once.
        Ok(Self {
            parsed: parse(&spec.to_string(), Format::Json)?,
            fields,
        })
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The app that the spec is an update of.
    pub(crate) fn app_id(&self) -> Result<Option<AppId>, ApiError> {
        let text = self
            .fields
            .get("app_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) if text.is_empty() => Ok(None),
            Err(_) => Err(ApiError::bad_request("app_id is no id of an app")),
        }
    }

    /// A refusal of the spec, with the places of its errors in what was sent.
    pub(crate) fn located(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Spec(errors) => Refusal::Spec(self.parsed.located(errors)),
            other => other,
        }
    }

    /// What should be known about the spec, what the app loses by it first.
    pub(crate) fn warnings(&self, lost: Vec<SpecError>) -> Vec<SpecError> {
        let mut warnings = self.parsed.located(lost);
        warnings.extend(self.parsed.warnings.iter().cloned());
        warnings
    }
}

/// The body as JSON; an empty one asks for nothing special.
pub(crate) fn body_of<T: Default + DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    if body.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not what it should be: {error}")))
}

/// The words of a list in a query: given several times, with or without brackets, or with commas between them.
pub(crate) fn words(pairs: &[(String, String)], name: &str) -> Vec<String> {
    let of_name = pairs
        .iter()
        .filter(|(key, _)| key.strip_suffix("[]").unwrap_or(key) == name);
    let words = of_name.flat_map(|(_, value)| value.split(','));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A list's own address with all that it was asked for, but for the page.
pub(crate) fn list_url(headers: &HeaderMap, path: &str, pairs: &[(String, String)]) -> String {
    let url = format!("{}{path}", base_url(headers));
    let kept: Vec<_> = pairs
        .iter()
        .filter(|(key, _)| key != "page" && key != "per_page")
        .collect();
    if kept.is_empty() {
        return url;
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .finish();
    format!("{url}?{query}")
}

/// How the client's end of the connection is encrypted; of our own listener, or of a proxy before it.
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The API's address as the client reached it: links lead back the same way.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let scheme = match headers.get(FORWARDED_PROTO) {
        Some(proto) if proto == "https" => "https",
        _ => "http",
    };
    let host = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("localhost");
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_list_in_a_query_may_be_written_in_three_ways() {
        let pairs = pairs(&[
            ("job_names", "a"),
            ("page", "2"),
            ("job_names[]", "b,c"),
            ("job_names", ""),
        ]);
        assert_eq!(words(&pairs, "job_names"), ["a", "b", "c"]);
    }

    #[test]
    fn links_to_other_pages_keep_the_filter() {
        let headers = HeaderMap::from_iter([(axum::http::header::HOST, "h:1".parse().unwrap())]);
        let asked = pairs(&[
            ("page", "2"),
            ("deployment_types", "MANUAL"),
            ("per_page", "5"),
            ("x", "a b"),
        ]);
        assert_eq!(
            list_url(&headers, "/v2/apps", &asked),
            "http://h:1/v2/apps?deployment_types=MANUAL&x=a+b"
        );
        assert_eq!(list_url(&headers, "/v2/apps", &[]), "http://h:1/v2/apps");
    }
}

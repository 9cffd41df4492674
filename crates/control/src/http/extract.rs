//! Reading requests: pages, specs, and the address that the client used.

use axum::http::HeaderMap;
use mainstay_api::PageQuery;
use mainstay_spec::{Format, ParsedSpec, parse};
use serde_json::Value;

use super::ApiError;
use crate::app::apps::Page;

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

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }
}

/// The API's address as the client reached it: links lead back the same way.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let host = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("localhost");
    format!("http://{host}")
}

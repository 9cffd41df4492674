//! A copy of a request, for the case that its connection is lost before an answer.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::body::RequestBody;
use crate::serve::core::Core;

/// Nearly every request is copied and nearly no copy is used, so it is made for cheap making: a list without hashes, whose memory the
/// thread uses again.
#[derive(Debug)]
pub struct Copied<'c> {
    core: &'c Core,
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl<'c> Copied<'c> {
    /// RFC 9110, section 9.2.2: what may be sent again without asking. A body cannot be had twice.
    pub fn if_repeatable(core: &'c Core, request: &Request<RequestBody>) -> Option<Self> {
        let repeatable = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        if !repeatable || !matches!(request.body(), RequestBody::Empty) {
            return None;
        }
        let mut headers = core.spare_list();
        headers.extend(
            request
                .headers()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Some(Self {
            core,
            method,
            uri,
            version: request.version(),
            headers,
        })
    }

    pub fn request(mut self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = std::mem::take(&mut self.method);
        *request.uri_mut() = std::mem::take(&mut self.uri);
        *request.version_mut() = self.version;
        for (name, value) in self.headers.drain(..) {
            request.headers_mut().append(name, value);
        }
        request
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        self.core.give_back_list(headers);
    }
}

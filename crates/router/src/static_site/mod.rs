//! Static sites: files below one directory, which a new deployment replaces by a new snapshot.

use std::borrow::Cow;
use std::path::Path;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

pub mod conditional;
pub mod content;
pub mod file_body;
pub mod files;
pub mod piece;

use conditional::{Preconditions, Validators};
use content::Encoding;
use file_body::FileBody;
use files::{Files, Lookup, OpenFile};

use crate::proxy::{body::Source, refusal::Refusal};

/// Browsers ask again after this time, so that a deployment is seen soon.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=10");

#[derive(Debug)]
pub struct StaticSite {
    files: Files,
    index_document: String,
    error_document: Option<String>,
    catchall_document: Option<String>,
}

/// A file to be sent, and how.
struct Choice {
    file: OpenFile,
    status: StatusCode,
    content_type: Cow<'static, str>,
    encoding: Option<Encoding>,
}

impl StaticSite {
    pub fn new(root: &Path, index: &str, error: Option<&str>, catchall: Option<&str>) -> Self {
        Self {
            files: Files::below(root),
            index_document: if index.is_empty() {
                "index.html".into()
            } else {
                index.into()
            },
            error_document: error.map(str::to_owned),
            catchall_document: catchall.map(str::to_owned),
        }
    }

    /// `path` is what is looked up; `visible` is what the visitor asked for, for redirects into directories.
    pub async fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        path: &str,
        visible: &str,
    ) -> Result<Response<Source>, Refusal> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Refusal::MethodNotAllowed);
        }
        let choice = match self.choose(headers, path)? {
            Some(choice) => choice,
            None if self.is_directory(path)? => return Ok(redirect_into_directory(visible)),
            None => self.missing()?,
        };
        respond(choice, method, headers).await
    }

    fn choose(&self, headers: &HeaderMap, path: &str) -> Result<Option<Choice>, Refusal> {
        let Some(mut name) = files::file_name(path) else {
            return Ok(None);
        };
        if name.is_empty() || name.ends_with('/') {
            name.push_str(&self.index_document);
        }
        let content_type = content::type_of(&name);
        if content::is_compressible(&content_type) && !headers.contains_key(header::RANGE) {
            for encoding in content::accepted(headers.get(header::ACCEPT_ENCODING)) {
                let encoded = format!("{name}{}", encoding.suffix());
                if let Lookup::File(file) = self.files.open(&encoded)? {
                    let encoding = Some(encoding);
                    return Ok(Some(Choice {
                        file,
                        status: StatusCode::OK,
                        content_type,
                        encoding,
                    }));
                }
            }
        }
        Ok(match self.files.open(&name)? {
            Lookup::File(file) => Some(Choice {
                file,
                status: StatusCode::OK,
                content_type,
                encoding: None,
            }),
            Lookup::Directory | Lookup::Missing => None,
        })
    }

    fn is_directory(&self, path: &str) -> Result<bool, Refusal> {
        match files::file_name(path).filter(|name| !name.is_empty() && !name.ends_with('/')) {
            Some(name) => Ok(matches!(self.files.open(&name)?, Lookup::Directory)),
            None => Ok(false),
        }
    }

    /// The documents for paths that lead nowhere.
    fn missing(&self) -> Result<Choice, Refusal> {
        let catchall = self.catchall_document.as_ref().map(|name| (name, StatusCode::OK));
        let error = self
            .error_document
            .as_ref()
            .map(|name| (name, StatusCode::NOT_FOUND));
        let (name, status) = catchall.or(error).ok_or(Refusal::FileUnknown)?;
        let name = name.trim_start_matches('/');
        match self.files.open(name)? {
            Lookup::File(file) => Ok(Choice {
                file,
                status,
                content_type: content::type_of(name),
                encoding: None,
            }),
            Lookup::Directory | Lookup::Missing => Err(Refusal::FileUnknown),
        }
    }
}

/// Relative links on the index page need the slash.
fn redirect_into_directory(visible: &str) -> Response<Source> {
    let mut response = Response::new(Source::Empty);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{visible}/")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn respond(choice: Choice, method: &Method, headers: &HeaderMap) -> Result<Response<Source>, Refusal> {
    let validators = Validators::of(&choice.file, choice.encoding);
    let mut response = Response::new(Source::Empty);
    describe(response.headers_mut(), &choice, &validators);
    let (start, end) = match choice.status {
        StatusCode::OK => match conditional::evaluate(headers, &validators, choice.file.bytes) {
            Preconditions::Everything => (0, choice.file.bytes),
            Preconditions::Range(start, end) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes {start}-{}/{}", end - 1, choice.file.bytes),
                );
                (start, end)
            }
            Preconditions::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response.headers_mut().remove(header::CONTENT_TYPE);
                return Ok(response);
            }
            Preconditions::RangeNotSatisfiable => {
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                set(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", choice.file.bytes),
                );
                return Ok(response);
            }
        },
        status => {
            *response.status_mut() = status;
            (0, choice.file.bytes)
        }
    };
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    if *method == Method::GET {
        *response.body_mut() = FileBody::start(choice.file, start, end)
            .await
            .map_err(|_| Refusal::StaticUnreadable)?;
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, choice: &Choice, validators: &Validators) {
    if let Ok(content_type) = HeaderValue::from_str(&choice.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(header::ETAG, validators.etag.clone());
    headers.insert(header::LAST_MODIFIED, validators.last_modified.clone());
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if content::is_compressible(&choice.content_type) {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(encoding) = choice.encoding {
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(encoding.name()),
        );
    }
}

fn set(response: &mut Response<Source>, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

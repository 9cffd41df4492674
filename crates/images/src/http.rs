//! The HTTP client for package indexes and archives: the operator's CA and proxies, one TLS provider, deadlines, a few retries.

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, Response, StatusCode, header::HeaderMap};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use crate::settings::OperatorSettings;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Longest silence in the middle of an answer.
const READ_DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
pub(crate) const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("the CA bundle {path} is not readable")]
    CaBundle {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the CA bundle {path} holds no certificate that can be read")]
    CaBundleFormat { path: PathBuf },
    #[error("the proxy of {variable} is not a URL")]
    Proxy { variable: &'static str },
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    #[error("{url} answered {status}")]
    Status { url: Url, status: u16 },
    #[error("{url} is not reachable ({attempts} attempts)")]
    Network {
        url: Url,
        attempts: u32,
        #[source]
        source: reqwest::Error,
    },
}

impl HttpError {
    /// True when trying again later may help: the network, a busy or broken server.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// Makes `ring` the TLS provider of this process. Needed before any TLS client of any library; calling it again is free.
pub fn install_tls_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // An error means that the process has installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The certificates of the operator's bundle (DER); none if there is none.
pub(crate) fn certificates(settings: &OperatorSettings) -> Result<Vec<Vec<u8>>, HttpError> {
    let Some(path) = &settings.ca_bundle else {
        return Ok(Vec::new());
    };
    let pem = fs::read(path).map_err(|source| HttpError::CaBundle {
        path: path.clone(),
        source,
    })?;
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .flatten()
        .map(|certificate| certificate.to_vec())
        .collect();
    if certificates.is_empty() {
        return Err(HttpError::CaBundleFormat { path: path.clone() });
    }
    Ok(certificates)
}

/// A client by the operator's settings. Variables of the process are not looked at again.
pub(crate) fn client(settings: &OperatorSettings) -> Result<Client, HttpError> {
    client_builder(settings)?.build().map_err(HttpError::Client)
}

/// The same for who wants more of it: the operator's CA bundle and proxies, deadlines.
///
/// # Errors
/// A CA bundle that cannot be read, or a proxy that is no URL.
pub fn client_builder(settings: &OperatorSettings) -> Result<ClientBuilder, HttpError> {
    install_tls_provider();
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_DEADLINE)
        .read_timeout(READ_DEADLINE)
        .no_proxy();
    let certificates = certificates(settings)?;
    if !certificates.is_empty() {
        let roots = certificates
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok());
        builder = builder.tls_certs_only(roots);
    }
    let except = settings.variable("NO_PROXY").and_then(NoProxy::from_string);
    for variable in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        if let Some(url) = settings.variable(variable) {
            builder = builder.proxy(proxy(variable, url)?.no_proxy(except.clone()));
        }
    }
    Ok(builder)
}

fn proxy(variable: &'static str, url: &str) -> Result<Proxy, HttpError> {
    match variable {
        "HTTPS_PROXY" => Proxy::https(url),
        "HTTP_PROXY" => Proxy::http(url),
        _ => Proxy::all(url),
    }
    .map_err(|_| HttpError::Proxy { variable })
}

/// Asks for a URL; an answer that is no success is an error. Retries what is transient.
pub(crate) async fn get(client: &Client, url: &Url, headers: &HeaderMap) -> Result<Response, HttpError> {
    let mut attempt = 1;
    loop {
        let failed = match client.get(url.clone()).headers(headers.clone()).send().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => status_error(url, response.status()),
            Err(source) => network_error(url, attempt, source),
        };
        if attempt == ATTEMPTS || !failed.is_transient() {
            return Err(failed);
        }
        tokio::time::sleep(PAUSE * attempt).await;
        attempt += 1;
    }
}

pub(crate) fn status_error(url: &Url, status: StatusCode) -> HttpError {
    HttpError::Status {
        url: without_secrets(url),
        status: status.as_u16(),
    }
}

pub(crate) fn network_error(url: &Url, attempts: u32, source: reqwest::Error) -> HttpError {
    HttpError::Network {
        url: without_secrets(url),
        attempts,
        source: source.without_url(),
    }
}

/// The URL as it may be shown: indexes carry user and password in it.
pub(crate) fn without_secrets(url: &Url) -> Url {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let url = Url::parse("https://user:word@index.test/simple/?token=1").unwrap();
        assert_eq!(
            status_error(&url, StatusCode::FORBIDDEN).to_string(),
            "https://index.test/simple/ answered 403"
        );
    }

    #[test]
    fn a_bundle_that_is_none_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = OperatorSettings {
            ca_bundle: Some(file.path().to_owned()),
            ..Default::default()
        };
        assert!(matches!(client(&settings), Err(HttpError::CaBundleFormat { .. })));
    }
}

//! The API's certificate: the operator's, or one of the platform's own authority.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    authority::{Authority, AuthorityError, ServerIdentity},
    config::Config,
};

const AUTHORITY: &str = "Mainstay API";

#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{place} is no certificate in PEM")]
    NoCertificate { place: String },
    #[error("{place} is no private key in PEM")]
    NoKey { place: String },
    #[error("the certificate and the key of the API do not fit")]
    Unfit(#[source] rustls::Error),
}

/// What connections are encrypted with now.
#[derive(Debug)]
pub(crate) struct Certificates {
    current: Arc<ServerConfig>,
    files: Option<Files>,
}

/// The operator's.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// When each was changed last, as far as is known.
    changed: [Option<SystemTime>; 2],
}

impl Certificates {
    /// Reads the operator's, or makes one.
    pub(crate) fn open(config: &Config) -> Result<Self, CertificateError> {
        let (Some(certificate), Some(key)) = (config.api.certificate.clone(), config.api.key.clone()) else {
            return Ok(Self {
                current: own(config)?,
                files: None,
            });
        };
        let mut files = Files {
            certificate,
            key,
            changed: [None; 2],
        };
        files.changed = files.times();
        Ok(Self {
            current: files.read()?,
            files: Some(files),
        })
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current)
    }

    /// Takes the operator's new certificate once it is there; a bad one changes nothing.
    pub(crate) fn look_again(&mut self) {
        let Some(files) = &mut self.files else { return };
        let now = files.times();
        if now == files.changed {
            return;
        }
        files.changed = now;
        match files.read() {
            Ok(config) => {
                self.current = config;
                tracing::info!(path = %files.certificate.display(), "the API has a new certificate");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the API keeps its certificate: the new one is not usable"
            ),
        }
    }
}

impl Files {
    fn times(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
    }

    fn read(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let text = |path: &Path| {
            fs::read_to_string(path).map_err(|source| CertificateError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let identity = ServerIdentity {
            certificate: text(&self.certificate)?,
            key: text(&self.key)?,
        };
        let names = [&self.certificate, &self.key].map(|path| path.display().to_string());
        server_config(&identity, &names)
    }
}

/// A new one at each start, under the authority that clients trust.
fn own(config: &Config) -> Result<Arc<ServerConfig>, CertificateError> {
    let directory = config.data_dir.join("api");
    let authority = Authority::open(&directory, AUTHORITY)?;
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let listen = config.api.listen.ip();
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    names.extend(config.api.names.iter().cloned());
    let mut identity = authority.issue(&names)?;
    identity.certificate += authority.certificate();
    let place = directory.display().to_string();
    server_config(&identity, &[place.clone(), place])
}

fn server_config(
    identity: &ServerIdentity,
    names: &[String; 2],
) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| CertificateError::NoCertificate {
        place: names[0].clone(),
    })?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| CertificateError::NoKey {
            place: names[1].clone(),
        })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(CertificateError::Unfit)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;

    use super::{super::TlsListener, *};

    /// Whether who trusts this authority alone can shake hands with the server under that name.
    async fn trusts(address: std::net::SocketAddr, authority: &str, name: &str) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = name.to_owned().try_into().unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .is_ok()
    }

    fn config(directory: &Path) -> Config {
        let mut config = Config {
            data_dir: directory.to_owned(),
            ..Config::default()
        };
        config.api.names = vec!["mainstay.example".to_owned()];
        config
    }

    #[tokio::test]
    async fn the_own_certificate_is_trusted_by_who_has_the_authority_for_the_names_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(&config(directory.path())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TlsListener::new(listener, certificates).unwrap();
        let address = axum::serve::Listener::local_addr(&listener).unwrap();
        let authority = fs::read_to_string(directory.path().join("api/ca.crt")).unwrap();
        for name in ["localhost", "127.0.0.1", "mainstay.example"] {
            assert!(trusts(address, &authority, name).await, "{name}");
        }
        assert!(!trusts(address, &authority, "other.example").await);
        let other = Authority::open(&directory.path().join("other"), "Other").unwrap();
        assert!(!trusts(address, other.certificate(), "localhost").await);
    }

    #[tokio::test]
    async fn an_operators_new_certificate_is_taken_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(&directory.path().join("authority"), "Operator").unwrap();
        let mut config = config(directory.path());
        let (certificate, key) = (directory.path().join("crt"), directory.path().join("key"));
        let put = |name: &str| {
            let identity = authority.issue(&[name.to_owned()]).unwrap();
            fs::write(&certificate, identity.certificate).unwrap();
            fs::write(&key, identity.key).unwrap();
        };
        put("old.example");
        config.api.certificate = Some(certificate.clone());
        config.api.key = Some(key.clone());
        let mut certificates = Certificates::open(&config).unwrap();
        let first = certificates.current();
        certificates.look_again();
        assert!(Arc::ptr_eq(&first, &certificates.current()), "nothing changed");
        let later = |path: &Path| {
            let time = SystemTime::now() + std::time::Duration::from_secs(5);
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        fs::write(&certificate, "no certificate").unwrap();
        later(&certificate);
        certificates.look_again();
        assert!(
            Arc::ptr_eq(&first, &certificates.current()),
            "a bad one changes nothing"
        );
        put("new.example");
        certificates.look_again();
        assert!(!Arc::ptr_eq(&first, &certificates.current()));

        fs::write(&key, "no key").unwrap();
        let error = Certificates::open(&config).unwrap_err().to_string();
        assert!(error.contains(&key.display().to_string()), "{error}");
    }
}

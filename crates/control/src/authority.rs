//! The platform's own certificate authorities: one vouches for the servers of databases (apps get its certificate as `${db.CA_CERT}`), one for the
//! API.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::private_file;

/// Apps keep the authority's certificate for as long as they run.
const AUTHORITY_YEARS: i32 = 30;
/// A server gets a new certificate each time it is started.
const SERVER_YEARS: i32 = 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("cannot {operation} {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// Signs; its key never leaves this process and one file.
pub(crate) struct Authority {
    name: &'static str,
    key: KeyPair,
    /// PEM.
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A server's certificate and its key, PEM.
pub(crate) struct ServerIdentity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// The authority kept in `directory`; made there, under this name, if there is none.
    pub(crate) fn open(directory: &Path, name: &'static str) -> Result<Self, AuthorityError> {
        let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.crt"));
        // The key is written last: with it, both are there.
        match fs::read_to_string(&key_path) {
            Ok(key) => Ok(Self {
                name,
                key: KeyPair::from_pem(&key)?,
                certificate: fs::read_to_string(&certificate_path)
                    .map_err(failed("read", &certificate_path))?,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)
                    .map_err(failed("create", directory))?;
                let key = KeyPair::generate()?;
                let certificate = params(name)?.self_signed(&key)?.pem();
                private_file::write(&certificate_path, &certificate)
                    .map_err(failed("write", &certificate_path))?;
                private_file::write(&key_path, &key.serialize_pem()).map_err(failed("write", &key_path))?;
                Ok(Self {
                    name,
                    key,
                    certificate,
                })
            }
            Err(error) => Err(failed("read", &key_path)(error)),
        }
    }

    /// PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// For a server that is reached by these names and addresses.
    pub(crate) fn issue(&self, names: &[String]) -> Result<ServerIdentity, AuthorityError> {
        let issuer = Issuer::new(params(self.name)?, &self.key);
        let mut server = CertificateParams::new(names)?;
        let first = names.first().map_or(self.name, String::as_str);
        server.distinguished_name.push(DnType::CommonName, first);
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let this_year = this_year();
        server.not_before = date_time_ymd(this_year - 1, 1, 1);
        server.not_after = date_time_ymd(this_year + SERVER_YEARS, 1, 1);
        let key = KeyPair::generate()?;
        Ok(ServerIdentity {
            certificate: server.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Of the authority: what its certificate says must be what its signatures name as issuer.
fn params(name: &str) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let this_year = this_year();
    params.not_before = date_time_ymd(this_year - 1, 1, 1);
    params.not_after = date_time_ymd(this_year + AUTHORITY_YEARS, 1, 1);
    Ok(params)
}

/// Clocks of apps' libraries may differ from ours: certificates begin a year before it.
fn this_year() -> i32 {
    i32::from(Timestamp::now().to_zoned(TimeZone::UTC).year())
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::File {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = Authority::open(directory.path(), "Test").unwrap();
        let again = Authority::open(directory.path(), "Test").unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert!(
            again
                .issue(&["db".to_owned()])
                .unwrap()
                .certificate
                .contains("BEGIN CERTIFICATE")
        );
    }

    #[test]
    fn its_key_is_for_root_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("authority");
        Authority::open(&place, "Test").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join("ca.key"))), (0o700, 0o600));
    }
}

//! The registry client: one per reference, with the operator's CA and proxies; tries again what the network spoils.

use std::time::Duration;

use oci_client::{
    Client, Reference, RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol, SizedStream},
    errors::OciDistributionError,
    manifest::{OciDescriptor, OciManifest},
    secrets::RegistryAuth,
};

use super::{Credentials, RegistryError};
use crate::{
    http::{self, HttpError},
    settings::{self, OperatorSettings},
};

pub(super) const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const READ_DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct RegistryClient {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

impl RegistryClient {
    pub(super) fn new(
        reference: &Reference,
        settings: &OperatorSettings,
        credentials: Option<&Credentials>,
    ) -> Result<Self, RegistryError> {
        http::install_tls_provider();
        let mut reference = reference.clone();
        if let Some(mirror) = settings.registries.mirrors.get(reference.registry()) {
            reference.set_mirror_registry(mirror.clone());
        }
        let host = reference.resolve_registry();
        let is_local = settings::is_loopback(host);
        let plain = if settings.registries.speaks_http(host) {
            vec![host.to_owned()]
        } else {
            Vec::new()
        };
        let proxy = |variable: &str| {
            settings
                .variable(variable)
                .or_else(|| settings.variable("ALL_PROXY"))
                .map(str::to_owned)
        };
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            tls_certs_only: certificates(settings)?,
            connect_timeout: Some(CONNECT_DEADLINE),
            read_timeout: Some(READ_DEADLINE),
            user_agent: http::USER_AGENT,
            https_proxy: proxy("HTTPS_PROXY").filter(|_| !is_local),
            http_proxy: proxy("HTTP_PROXY").filter(|_| !is_local),
            no_proxy: settings.variable("NO_PROXY").map(str::to_owned),
            ..ClientConfig::default()
        };
        let auth = credentials.map_or(RegistryAuth::Anonymous, |credentials| {
            RegistryAuth::Basic(credentials.user.clone(), credentials.token.clone())
        });
        let client = Client::try_from(config)
            .map_err(|error| RegistryError::from_client(&error, reference.whole(), host.to_owned()))?;
        Ok(Self {
            client,
            reference,
            auth,
        })
    }

    /// The digest that the reference stands for.
    pub(super) async fn digest(&self) -> Result<String, RegistryError> {
        self.tried(async || {
            self.client
                .auth(&self.reference, &self.auth, RegistryOperation::Pull)
                .await?;
            self.client
                .fetch_manifest_digest(&self.reference, &self.auth)
                .await
        })
        .await
    }

    /// The manifest or index of that digest; the library checks it against the digest.
    pub(super) async fn manifest(&self, digest: &str) -> Result<OciManifest, RegistryError> {
        let pinned = self.reference.clone_with_digest(digest.to_owned());
        let (manifest, _) = self
            .tried(async || self.client.pull_manifest(&pinned, &self.auth).await)
            .await?;
        Ok(manifest)
    }

    /// A blob's bytes; the stream ends in an error if they do not have the digest.
    pub(super) async fn blob(&self, blob: &OciDescriptor) -> Result<SizedStream, RegistryError> {
        self.client
            .pull_blob_stream(&self.reference, blob)
            .await
            .map_err(|error| self.error(&error))
    }

    /// Tries again what is transient.
    async fn tried<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, OciDistributionError>,
    ) -> Result<T, RegistryError> {
        self.retried(async || ask().await.map_err(|error| self.error(&error)))
            .await
    }

    pub(super) async fn retried<T>(
        &self,
        work: impl AsyncFn() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut attempt = 1;
        loop {
            match work().await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tracing::info!(%error, attempt, "a registry is asked again");
                }
                other => return other.map_err(|error| error.after(attempt)),
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    pub(super) fn error(&self, error: &OciDistributionError) -> RegistryError {
        RegistryError::from_client(error, self.name(), self.host())
    }

    pub(super) fn invalid(&self, message: &str) -> RegistryError {
        RegistryError::Invalid {
            reference: self.name(),
            host: self.host(),
            message: message.to_owned(),
        }
    }

    pub(super) fn name(&self) -> String {
        self.reference.whole()
    }

    fn host(&self) -> String {
        self.reference.resolve_registry().to_owned()
    }
}

fn certificates(settings: &OperatorSettings) -> Result<Vec<Certificate>, HttpError> {
    let certificates = http::certificates(settings)?.into_iter();
    Ok(certificates
        .map(|data| Certificate {
            encoding: CertificateEncoding::Der,
            data,
        })
        .collect())
}

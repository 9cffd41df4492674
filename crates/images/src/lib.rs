//! Images on one machine: layers are directories, an image is a list of them and a config. Tar and digest only when something is
//! pulled, pushed or exported.
//!
//! ```text
//!  store       layers, image records, pins, garbage collection; everything on disk is written here
//!  tree        the files of a list of layers, read without mounting
//!  settings    what the operator set once: CA bundle, proxies, package indexes, Debian mirror
//!  http        the one HTTP client: those settings, ring as TLS provider, deadlines, retries
//!  toolchains  npm packages and PyPI wheels as keyed layers
//!  debian      Debian packages, with apt's state in directories of our own
//!  registry    images pulled from OCI registries
//!  unpack      archives of strangers into a directory, and nowhere else
//!  stack       the base images `run` and `build`, made from Debian packages
//! ```

pub mod debian;
pub mod http;
mod mounts;
mod oci;
pub mod record;
pub mod registry;
pub mod settings;
pub mod stack;
pub mod store;
pub mod toolchains;
pub mod tree;
pub mod unpack;

pub use settings::OperatorSettings;
pub use store::ImageStore;

/// An error and its causes, outermost first.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}

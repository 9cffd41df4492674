//! Secrets of specs: sealed before anything is stored or answered, opened where a build or an instance needs them.
//!
//! ```text
//!  spec of a request ──seal──▶ store, answers, comparisons          `EV[1:nonce:ciphertext]`
//!                                  └──open──▶ builds, instances, registries
//! ```
//!
//! XChaCha20-Poly1305 under one key of this server; the app's id is authenticated along, so that one app's cipher text is of no use in
//! another. The key is a file of its own: a copy of the database alone tells nothing.

mod keyring;
mod specs;

pub(crate) use keyring::{CannotOpen, Keyring, KeyringError};
pub(crate) use specs::OpenedSpec;

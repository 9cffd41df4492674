//! Digests as package indexes write them.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// The digest that an archive must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no SHA-256 or SHA-512 digest")]
pub struct DigestError(pub String);

impl Digest {
    /// Reads npm's `integrity`, a subresource integrity value: one or more `sha512-<base64>`, the strongest of which counts.
    pub fn from_integrity(text: &str) -> Result<Self, DigestError> {
        let find = |prefix: &str| {
            text.split_whitespace().find_map(|value| {
                let encoded = value.strip_prefix(prefix)?.split('?').next()?;
                BASE64.decode(encoded.as_bytes()).ok()
            })
        };
        find("sha512-")
            .and_then(|bytes| Some(Self::Sha512(bytes.try_into().ok()?)))
            .or_else(|| find("sha256-").and_then(|bytes| Some(Self::Sha256(bytes.try_into().ok()?))))
            .ok_or_else(|| DigestError(text.to_owned()))
    }

    /// The hash to compute it with.
    pub(super) fn hasher(&self) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::Sha512(_) => Hasher::Sha512(Box::new(Sha512::new())),
        }
    }
}

/// Reads `sha256:<hex>` and `sha512:<hex>`.
impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let unread = || DigestError(text.to_owned());
        let (algorithm, hex) = text.split_once(':').ok_or_else(unread)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| unread())?;
        match algorithm {
            "sha256" => bytes.try_into().map(Self::Sha256).map_err(|_| unread()),
            "sha512" => bytes.try_into().map(Self::Sha512).map_err(|_| unread()),
            _ => Err(unread()),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(bytes) => write!(f, "sha256:{}", HEXLOWER.encode(bytes)),
            Self::Sha512(bytes) => write!(f, "sha512:{}", HEXLOWER.encode(bytes)),
        }
    }
}

/// A digest being computed.
#[derive(Debug)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
            Self::Sha512(hash) => Digest::Sha512(hash.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_bytes() {
        let mut hasher = Digest::Sha256([0; 32]).hasher();
        hasher.update(b"abc");
        let digest = hasher.finish();
        let hex = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), hex);
        assert_eq!(hex.parse(), Ok(digest.clone()));
        let integrity = "sha1-zzz sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(Digest::from_integrity(integrity), Ok(digest));
    }

    #[test]
    fn weak_and_broken_digests_are_refused() {
        for text in ["sha1:0000", "sha256:00", "sha256", "", "sha256:zz"] {
            text.parse::<Digest>().unwrap_err();
        }
        Digest::from_integrity("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=").unwrap_err();
    }
}

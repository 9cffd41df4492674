//! Text that may be a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that is never printed by accident: `Debug` hides it and there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Sensitive(String);

impl Sensitive {
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for a secret in the platform's own encrypted form, `EV[1:nonce:ciphertext]`.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("EV[1:") && self.0.ends_with(']')
    }
}

impl From<String> for Sensitive {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Sensitive {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"…\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Sensitive::from("hunter2")), "\"…\"");
        assert_eq!(format!("{:?}", Sensitive::default()), "\"\"");
    }
}

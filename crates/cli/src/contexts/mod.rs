//! Which servers there are: names, addresses and tokens, kept in one file of the user's.

mod file;
mod node;
mod reading;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

pub(crate) use file::ContextFile;

use crate::error::CliError;

/// The name of a server that was given none.
pub(crate) const DEFAULT_NAME: &str = "default";
const NAME_CHARS_MAX: usize = 64;

/// All servers that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Contexts {
    /// The one that commands go to.
    #[serde(rename = "context", skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Context {
    pub url: String,
    pub token: String,
    /// The authority that vouches for its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Of which account the token was when the server was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("url", &self.url)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

impl Contexts {
    /// By their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Context)> {
        self.contexts
            .iter()
            .map(|(name, context)| (name.as_str(), context))
    }

    pub(crate) fn is_current(&self, name: &str) -> bool {
        self.current.as_deref() == Some(name)
    }

    /// The one of this name, or else the current one. `None`: no name was given, and there is no current one.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Option<&Context>, CliError> {
        let Some(name) = name.or(self.current.as_deref()) else {
            return Ok(None);
        };
        let found = self.contexts.get(name).ok_or_else(|| self.unknown(name))?;
        Ok(Some(found))
    }

    /// From now on it is known, and the current one.
    ///
    /// # Errors
    /// The name cannot be one.
    pub(crate) fn put(&mut self, name: &str, context: Context) -> Result<(), CliError> {
        check_name(name).map_err(|rule| CliError::Usage(format!("a context's name {rule}: {name:?}")))?;
        self.contexts.insert(name.to_owned(), context);
        self.current = Some(name.to_owned());
        Ok(())
    }

    pub(crate) fn switch(&mut self, name: &str) -> Result<(), CliError> {
        if !self.contexts.contains_key(name) {
            return Err(self.unknown(name));
        }
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Without the current one, there is none until somebody switches.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), CliError> {
        if self.contexts.remove(name).is_none() {
            return Err(self.unknown(name));
        }
        self.current = self.current.take().filter(|current| current != name);
        Ok(())
    }

    fn unknown(&self, name: &str) -> CliError {
        let known: Vec<String> = self.contexts.keys().map(|known| format!("`{known}`")).collect();
        let known = if known.is_empty() {
            "none is known yet: `mainstay login` makes one".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        CliError::Usage(format!("there is no context `{name}`; {known}"))
    }
}

/// What a name breaks, as the rest of a sentence about it.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err("has 1 to 64 characters");
    }
    if !name.chars().all(is_plain) || name.starts_with('-') {
        return Err("has letters, digits, `.`, `_` and `-` only, and does not begin with `-`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Context {
        Context {
            url: url.into(),
            token: "mst_secret".into(),
            ca_file: None,
            account: None,
        }
    }

    fn two() -> Contexts {
        let mut contexts = Contexts::default();
        contexts.put("home", at("http://h:1")).unwrap();
        contexts.put("prod", at("https://p")).unwrap();
        contexts
    }

    #[test]
    fn the_newest_is_the_current_one_until_somebody_switches() {
        let mut contexts = two();
        let url = |contexts: &Contexts, name| contexts.find(name).unwrap().map(|found| found.url.clone());
        assert_eq!(url(&contexts, None).as_deref(), Some("https://p"));
        assert_eq!(url(&contexts, Some("home")).as_deref(), Some("http://h:1"));
        contexts.switch("home").unwrap();
        assert_eq!(url(&contexts, None).as_deref(), Some("http://h:1"));
        contexts.remove("prod").unwrap();
        assert!(contexts.is_current("home"));
        contexts.remove("home").unwrap();
        assert_eq!(contexts.find(None).unwrap(), None);
    }

    #[test]
    fn a_name_that_is_not_known_is_told_with_those_that_are() {
        let mut contexts = two();
        let told = "there is no context `x`; there are `home`, `prod`";
        assert_eq!(contexts.find(Some("x")).unwrap_err().to_string(), told);
        assert_eq!(contexts.switch("x").unwrap_err().to_string(), told);
        assert_eq!(contexts.remove("x").unwrap_err().to_string(), told);
        let none = Contexts::default().find(Some("x")).unwrap_err().to_string();
        assert!(none.contains("mainstay login"), "{none}");
    }

    #[test]
    fn names_are_plain_words() {
        for name in ["", "a b", "-x", "a/b", &"x".repeat(65)] {
            assert!(two().put(name, at("http://h")).is_err(), "{name:?}");
        }
        two().put("eu-1.prod_x", at("http://h")).unwrap();
    }

    #[test]
    fn tokens_are_not_seen_in_debug_output() {
        let debug = format!("{:?}", two());
        assert!(!debug.contains("secret"), "{debug}");
    }
}

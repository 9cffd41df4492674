//! Debian packages: apt, dpkg and mmdebstrap as child processes, with all their state in directories of ours.

pub(crate) mod apt;
mod packages;
pub(crate) mod process;
pub(crate) mod sources;

use std::{io, path::PathBuf};

pub use self::packages::{packages_layer, postgresql_version};
use crate::{store::StoreError, unpack::UnpackError};

/// Packages could not be fetched or installed.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    #[error("{program} is not installed on this machine")]
    NotInstalled { program: &'static str },
    #[error("cannot start {program}")]
    Start {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed ({status}): {}", last_words(tail))]
    Failed {
        program: &'static str,
        status: std::process::ExitStatus,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    #[error("{program} did not end within {seconds} seconds: {}", last_words(tail))]
    TooSlow {
        program: &'static str,
        seconds: u64,
        tail: Vec<String>,
    },
    #[error("the package {name} is not in Debian {suite}")]
    NoPackage { name: String, suite: String },
    #[error("{name:?} is no name of a Debian package")]
    BadName { name: String },
    #[error("cannot mount {path}")]
    Mount {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot unpack the package {package}")]
    Unpack {
        package: String,
        #[source]
        source: UnpackError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DebianError {
    /// The last lines of the tool that failed; empty for other failures.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } | Self::TooSlow { tail, .. } => tail,
            _ => &[],
        }
    }
}

/// apt's and dpkg's own errors if there are any ("E: …"), the last line otherwise.
fn last_words(tail: &[String]) -> String {
    let errors: Vec<&str> = tail
        .iter()
        .filter_map(|line| {
            line.strip_prefix("E: ")
                .or_else(|| line.strip_prefix("dpkg: error"))
        })
        .collect();
    match (errors.is_empty(), tail.last()) {
        (false, _) => errors.join("; "),
        (true, Some(line)) => line.clone(),
        (true, None) => "it printed nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_own_errors_are_what_is_said() {
        let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            last_words(&lines(&[
                "Reading…",
                "E: Unable to fetch a",
                "E: Some failed",
                "W: x"
            ])),
            "Unable to fetch a; Some failed"
        );
        assert_eq!(last_words(&lines(&["one", "two"])), "two");
        assert_eq!(last_words(&[]), "it printed nothing");
    }
}

//! What went wrong while talking to a git repository, and whether trying again may help.

use mainstay_diagnosis::facts::BuildFault;

use super::CloneUrl;

/// Why a fetch or a question to a repository failed.
#[derive(Debug)]
pub(crate) enum FetchFailure {
    /// Already says everything.
    Fault(BuildFault),
    /// Git ended non-zero; `message` is its own last sentence, without credentials.
    Refused {
        message: String,
        network: bool,
    },
    TimedOut {
        seconds: u64,
    },
}

impl FetchFailure {
    /// From what git printed on its standard error.
    pub(crate) fn from_stderr(stderr: &str, url: &CloneUrl) -> Self {
        let message = without_credentials(&sentence(stderr), url);
        Self::Refused {
            network: is_network(stderr),
            message,
        }
    }

    pub(crate) fn is_network(&self) -> bool {
        match self {
            Self::Fault(_) => false,
            Self::Refused { network, .. } => *network,
            Self::TimedOut { .. } => true,
        }
    }

    pub(crate) fn into_fault(self, url: &CloneUrl, attempts: u32) -> BuildFault {
        let network = self.is_network();
        let message = match self {
            Self::Fault(fault) => return fault,
            Self::Refused { message, .. } => message,
            Self::TimedOut { seconds } => format!("no answer within {seconds} s"),
        };
        BuildFault::SourceNotFetchable {
            origin: url.to_string(),
            message,
            network,
            attempts,
        }
    }
}

impl From<BuildFault> for FetchFailure {
    fn from(fault: BuildFault) -> Self {
        Self::Fault(fault)
    }
}

/// Git's reason: its `fatal:` and `remote:` lines, else the last ones; at most 600 characters.
fn sentence(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let telling: Vec<&str> = lines
        .iter()
        .filter(|line| {
            ["fatal:", "error:", "remote:", "ssh:"]
                .iter()
                .any(|mark| line.starts_with(mark))
        })
        .copied()
        .collect();
    let chosen = if telling.is_empty() {
        lines.iter().rev().take(3).rev().copied().collect()
    } else {
        telling
    };
    let text = chosen.join("; ");
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.is_empty() => "git said nothing".to_owned(),
        None => text,
    }
}

fn without_credentials(text: &str, url: &CloneUrl) -> String {
    let Some(credentials) = url.credentials() else {
        return text.to_owned();
    };
    match credentials.password.as_str() {
        "" => text.to_owned(),
        password => text.replace(password, "***"),
    }
}

/// Git and its transports give only text. This table decides about repeating, never about the reason's code.
fn is_network(stderr: &str) -> bool {
    const SIGNS: &[&str] = &[
        "Could not resolve host",
        "Couldn't resolve host",
        "Temporary failure in name resolution",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Connection closed",
        "Failed to connect",
        "Network is unreachable",
        "No route to host",
        "Operation timed out",
        "Operation too slow",
        "early EOF",
        "RPC failed",
        "unexpected disconnect",
        "the remote end hung up unexpectedly",
        "The requested URL returned error: 429",
        "The requested URL returned error: 5",
    ];
    SIGNS.iter().any(|sign| stderr.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::{super::LocalPaths, *};

    fn url() -> CloneUrl {
        CloneUrl::parse("https://me:hunter2@h.example/a", &LocalPaths::Refused).unwrap()
    }

    #[test]
    fn the_reason_is_kept_and_the_password_is_not() {
        let stderr = "Cloning\nremote: no such repository for hunter2\nfatal: repository 'https://h.example/a/' not found\n";
        let failure = FetchFailure::from_stderr(stderr, &url());
        assert!(!failure.is_network());
        let BuildFault::SourceNotFetchable { message, .. } = failure.into_fault(&url(), 1) else {
            panic!("wrong fault")
        };
        assert_eq!(
            message,
            "remote: no such repository for ***; fatal: repository 'https://h.example/a/' not found"
        );
    }

    #[test]
    fn network_trouble_is_worth_another_try() {
        let failure = FetchFailure::from_stderr(
            "fatal: unable to access: Could not resolve host: h.example",
            &url(),
        );
        assert!(failure.is_network());
    }
}

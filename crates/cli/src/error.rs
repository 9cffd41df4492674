//! What can go wrong between the command line and the API.

use std::{io, path::PathBuf};

use mainstay_api::ErrorBody;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("could not reach the API at {url}; is the server running? ({source})")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{}", .body.message)]
    Refused { body: Box<ErrorBody> },
    #[error("the API answered what this version does not understand: {message}")]
    NotUnderstood { message: String },
    #[error("could not {operation}")]
    Io {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error("no API token for {url}: {} cannot be read; `mainstay login` keeps one, MAINSTAY_TOKEN gives one", .file.display())]
    NoToken { url: String, file: PathBuf },
    /// The machine's own token is for no other machine.
    #[error("no API token for {url}: `mainstay login` keeps one, MAINSTAY_TOKEN or --token-file gives one")]
    NoTokenGiven { url: String },
    /// The file of contexts.
    #[error("{}{}: {problem}", .file.display(), at_line(*.line))]
    Contexts {
        file: PathBuf,
        line: Option<u64>,
        problem: String,
    },
    #[error("{0}")]
    Usage(String),
    /// All bad fields, rendered.
    #[error("{0}")]
    Spec(String),
}

impl CliError {
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }

    /// 2: the question was wrong; 1: everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Spec(_) | Self::Contexts { .. } => 2,
            _ => 1,
        }
    }
}

fn at_line(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

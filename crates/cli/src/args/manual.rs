//! What describes the command line itself.

use std::path::PathBuf;

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// The words of the command: `mainstay man apps create`.
    pub words: Vec<String>,
    /// Write the pages of all commands into this directory instead.
    #[arg(long, conflicts_with = "words")]
    pub directory: Option<PathBuf>,
}

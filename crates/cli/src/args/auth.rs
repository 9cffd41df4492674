//! `mainstay auth`: which servers there are.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Know a server: asks for a token, checks it, and keeps both. Knows it better if it was known.
    #[command(visible_alias = "init")]
    Login(Login),
    /// List the servers that are known.
    #[command(visible_alias = "ls")]
    List,
    /// Make another server the one that commands go to.
    Switch(Named),
    /// Forget a server and its token. The token itself stays valid: `mainstay tokens revoke` ends it.
    #[command(visible_alias = "rm")]
    Remove(Named),
}

/// The address, the authority and the name are options of every command: `--url`, `--ca-file`, `--context`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token is read from standard input, or asked for on a terminal; never from an argument, where every user of the machine could read it."
)]
pub(crate) struct Login {
    /// Keep the token without asking the server whether it knows it.
    #[arg(long)]
    pub unchecked: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Its name; `--context` says the same.
    pub name: Option<String>,
}

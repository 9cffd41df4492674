//! `mainstay databases backups`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Backups {
    /// List the backups of a database, the newest first; failed ones with their reason.
    #[command(visible_alias = "ls")]
    List {
        /// The database's name.
        database: String,
        #[arg(long)]
        app: String,
    },
    /// Show one with the tables that are in it.
    #[command(visible_alias = "g")]
    Get {
        /// The database's name.
        database: String,
        /// Its id.
        backup: String,
        #[arg(long)]
        app: String,
    },
}

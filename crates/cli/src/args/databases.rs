//! `mainstay databases`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Databases {
    /// List the databases that the platform runs for an app.
    #[command(visible_alias = "ls")]
    List {
        #[arg(long)]
        app: String,
    },
    /// Delete a database of an app that no spec names any more.
    Delete {
        name: String,
        #[arg(long)]
        app: String,
        /// Its data is deleted for good. Without this nothing is.
        #[arg(long)]
        delete_data: bool,
    },
    /// Show the log of the server of an app's database.
    Logs {
        name: String,
        #[arg(long)]
        app: String,
        /// Go on as lines are written.
        #[arg(long, short)]
        follow: bool,
        /// Only the last lines.
        #[arg(long)]
        tail: Option<u32>,
    },
}

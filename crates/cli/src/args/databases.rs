//! `mainstay databases`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Backups;

#[derive(Debug, Subcommand)]
pub(crate) enum Databases {
    /// List the registered clusters; with `--app` the databases that the platform runs for an app.
    #[command(visible_alias = "ls")]
    List {
        #[arg(long)]
        app: Option<String>,
    },
    /// Register a cluster of your own, to which specs attach with `production: true` and `cluster_name`.
    Register(Register),
    /// Show a registered cluster; with `--app` a database that the platform runs for an app.
    #[command(visible_alias = "g")]
    Get {
        name: String,
        #[arg(long)]
        app: Option<String>,
    },
    /// Forget a cluster that no spec names; nothing at the cluster itself is changed.
    #[command(visible_alias = "rm")]
    Remove { name: String },
    /// Make a backup of an app's database; it is restored aside and counted before it is called good.
    Backup {
        name: String,
        #[arg(long)]
        app: String,
        /// Return once it is begun.
        #[arg(long)]
        no_wait: bool,
    },
    /// Backups that there are.
    #[command(subcommand)]
    Backups(Backups),
    /// Replace the data of an app's database by that of a backup.
    #[command(
        after_help = "The backup is restored and counted beside the present data, which goes only then; connections are ended at that \
                            moment, and what was written since the backup is lost. Without --replace-data nothing is done."
    )]
    Restore {
        name: String,
        /// Its id, or `latest` for the newest good one.
        backup: String,
        #[arg(long)]
        app: String,
        /// The present data is replaced.
        #[arg(long)]
        replace_data: bool,
        /// Return once it is begun.
        #[arg(long)]
        no_wait: bool,
    },
    /// Restores that there were, and how each ended.
    Restores {
        name: String,
        #[arg(long)]
        app: String,
    },
    /// Delete a database of an app that no spec names any more.
    Delete {
        name: String,
        #[arg(long)]
        app: String,
        /// Its data and its backups are deleted for good. Without this nothing is.
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

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The password is never an argument, where every user of the machine could read it. It is kept sealed, and shown to nobody."
)]
pub(crate) struct Register {
    /// What specs call it in `cluster_name`.
    pub name: String,
    #[arg(long, value_parser = ["pg", "mysql", "redis", "valkey", "mongodb", "kafka", "opensearch"], ignore_case = true)]
    pub engine: String,
    /// The server's major version.
    #[arg(long, default_value = "")]
    pub version: String,
    #[arg(long)]
    pub host: String,
    /// The engine's own when not given.
    #[arg(long)]
    pub port: Option<u16>,
    #[arg(long, default_value = "")]
    pub user: String,
    /// Read the password from standard input; on a terminal it is asked for in any case.
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password from the first line of this file.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
    /// Who vouches for the server, PEM; apps get it as `${db.CA_CERT}`.
    #[arg(long = "server-ca-file")]
    pub server_ca_file: Option<PathBuf>,
    /// What apps get unless their spec names another one; `defaultdb` when not given.
    #[arg(long, default_value = "")]
    pub database: String,
    /// The server does not speak TLS.
    #[arg(long)]
    pub without_tls: bool,
    /// Change the cluster that is registered by this name.
    #[arg(long)]
    pub replace: bool,
    /// Register it without trying whether the login is accepted.
    #[arg(long)]
    pub unchecked: bool,
}

//! What can be typed.

mod as_doctl;
mod auth;
mod backups;
mod databases;
mod manual;
mod team;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    as_doctl::{AsDoctl, InstanceSizes, Question, Tier},
    auth::{Auth, Login, Named},
    backups::Backups,
    databases::{Databases, Register},
    manual::{Manual, Shell},
    team::{Accounts, OfAccount, Role, Users},
};

/// Where help shows what all commands have.
const EVERYWHERE: &str = "Options of every command";

/// Deploys apps to Mainstay, and says why when they fail.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Text for people, JSON for programs.
    #[arg(long, short, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Which columns a list has, by their names and in this order: "ID,Spec.Name".
    #[arg(long, global = true, help_heading = EVERYWHERE, value_delimiter = ',', value_name = "COLUMNS")]
    pub format: Vec<String>,
    /// Lists without their line of headings.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_header: bool,
    /// Which of the servers that `mainstay login` knows; the current one when not given.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MAINSTAY_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// Where the API is; that of the context when not given.
    #[arg(long, visible_alias = "url", short = 'u', global = true, help_heading = EVERYWHERE, env = "MAINSTAY_URL")]
    pub api_url: Option<String>,
    /// The authority that vouches for the API's certificate, in PEM; those of the system when not given.
    #[arg(long, visible_alias = "ca-file", global = true, help_heading = EVERYWHERE, env = "MAINSTAY_CA")]
    pub ca: Option<PathBuf>,
    /// The API token is read from this file, unless `MAINSTAY_TOKEN` holds it; that of the context when neither is given.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MAINSTAY_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deploy a folder: uploads it, creates or updates the app, waits until it serves.
    Deploy(Deploy),
    /// Apps.
    #[command(subcommand)]
    Apps(Apps),
    /// Deployments of an app.
    #[command(subcommand)]
    Deployments(Deployments),
    /// Runs of an app's jobs.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Show what all apps of the account take together, and the limits.
    Limits {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Show the logs of an app.
    Logs(Logs),
    /// Run a command in an instance; without one, open a shell.
    Exec(Exec),
    /// Explain an error code, a cause, an exit code, or why a deployment failed.
    Explain(Explain),
    /// App specs.
    #[command(subcommand)]
    Spec(Spec),
    /// Databases: clusters of your own that apps attach to, and those that the platform runs for an app.
    #[command(subcommand)]
    Databases(Databases),
    /// Whose token this is, and of which account.
    #[command(visible_alias = "whoami")]
    Account,
    /// Accounts: each has its own apps, users and limits. For the operator.
    #[command(subcommand)]
    Accounts(Accounts),
    /// Users of the account.
    #[command(subcommand)]
    Users(Users),
    /// API tokens.
    #[command(subcommand)]
    Tokens(Tokens),
    /// Show who changed what, newest first.
    Audit {
        /// Only the last ones.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        count: u32,
        #[command(flatten)]
        of: OfAccount,
    },
    /// Know a server: asks for a token, checks it, and keeps both.
    Login(Login),
    /// The servers that are known here, and their tokens.
    #[command(subcommand)]
    Auth(Auth),
    /// Print the completions for a shell.
    Completion { shell: Shell },
    /// Print the manual page, of a command if one is named.
    Man(Manual),
    /// Run the server (the program `mainstay-server` beside this one).
    #[command(disable_help_flag = true)]
    Server {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The folder with the source.
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// The app spec; `.do/app.yaml` in the folder when not given.
    #[arg(long)]
    pub spec: Option<PathBuf>,
    /// Build even though nothing changed, without caches.
    #[arg(long)]
    pub force_build: bool,
    /// Go on although the app would lose variables or secrets that the new spec lacks.
    #[arg(long)]
    pub allow_losses: bool,
    /// Return as soon as the deployment is accepted.
    #[arg(long)]
    pub no_wait: bool,
}

/// What is ours, and every subcommand that `doctl apps` has for an app that is there, by the same names and aliases.
#[derive(Debug, Subcommand)]
pub(crate) enum Apps {
    /// Create an app from a spec.
    #[command(visible_alias = "c")]
    Create {
        /// The spec's file; `-` is standard input.
        #[arg(long)]
        spec: PathBuf,
        /// Update the app when one of that name exists.
        #[arg(long)]
        upsert: bool,
        /// Go on although the app would lose variables or secrets that the new spec lacks.
        #[arg(long)]
        allow_losses: bool,
        /// Wait until it serves.
        #[arg(long)]
        wait: bool,
    },
    /// List the apps.
    #[command(visible_alias = "ls")]
    List,
    /// Show an app.
    #[command(visible_alias = "g")]
    Get { app: String },
    /// Replace the whole spec of an app.
    #[command(visible_alias = "u")]
    Update {
        app: String,
        #[arg(long)]
        spec: PathBuf,
        /// Take the newest commits too.
        #[arg(long)]
        update_sources: bool,
        /// Go on although the app would lose variables or secrets that the new spec lacks.
        #[arg(long)]
        allow_losses: bool,
        #[arg(long)]
        wait: bool,
    },
    /// Delete an app with everything of it.
    #[command(visible_aliases = ["d", "rm"])]
    Delete {
        app: String,
        /// Do not ask.
        #[arg(long, short)]
        force: bool,
        /// Delete the data of its databases, too. Without it, an app with databases is not deleted.
        #[arg(long)]
        delete_databases: bool,
    },
    /// Replace the instances by new ones of the same build.
    ///
    /// A restart waits for a deployment that is under way. Where that one becomes active, its instances are new, and the restart is superseded by it.
    #[command(visible_alias = "r")]
    Restart {
        app: String,
        /// Only these services and workers; all others keep their instances.
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        components: Vec<String>,
        #[arg(long)]
        wait: bool,
    },
    /// Go back to a deployment that served. The app stays there until that is committed or reverted.
    #[command(visible_alias = "rb")]
    Rollback {
        app: String,
        /// The one before the serving one when none is named.
        deployment: Option<String>,
        /// Commit at once.
        #[arg(long)]
        skip_pin: bool,
        /// Only say whether it can be done.
        #[arg(long, conflicts_with_all = ["skip_pin", "wait"])]
        validate: bool,
        #[arg(long)]
        wait: bool,
    },
    /// Make a rollback final: its spec becomes the app's.
    CommitRollback { app: String },
    /// Undo a rollback: the app's spec is deployed as it was before.
    RevertRollback {
        app: String,
        #[arg(long)]
        wait: bool,
    },
    /// List the running instances.
    #[command(visible_aliases = ["list-instances", "i"])]
    Instances { app: String },
    /// List what happened to the instances, oldest first: starts, ends, restarts.
    Events {
        app: String,
        component: Option<String>,
        /// Only the last ones.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        count: u32,
    },
    /// Show how much of their size instances use, and how often they were restarted.
    Metrics { app: String, component: Option<String> },
    #[command(flatten)]
    AsDoctl(AsDoctl),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// List the tokens; their secrets are not kept.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Make a token and print its secret, once.
    Create {
        name: String,
        /// `read`: may ask; `write`: may change apps; `admin`: may also administer the account.
        #[arg(long, value_enum, default_value_t = Scope::Read)]
        scope: Scope,
        /// Only for this app.
        #[arg(long)]
        app: Option<String>,
        /// Days until it ends; it does not end by itself when not given.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3660))]
        days: Option<u32>,
        /// Whose it is to be, by address or id; one's own when not given.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        of: OfAccount,
    },
    /// End a token at once.
    #[command(visible_alias = "rm")]
    Revoke {
        id: String,
        #[command(flatten)]
        of: OfAccount,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    Read,
    Write,
    Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deployments {
    /// List the deployments, newest first.
    #[command(visible_alias = "ls")]
    List { app: String },
    /// Show a deployment, the newest one when none is named.
    Get { app: String, deployment: Option<String> },
    /// Deploy the newest source.
    Create {
        app: String,
        #[arg(long)]
        force_build: bool,
        #[arg(long)]
        wait: bool,
    },
    /// Wait until the newest (or the named) deployment ended.
    Wait { app: String, deployment: Option<String> },
    /// Call a deployment off.
    Cancel { app: String, deployment: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List the runs, newest first.
    #[command(visible_alias = "ls")]
    List {
        app: String,
        /// Of this job only; may be given several times.
        #[arg(long)]
        job: Vec<String>,
        /// Of this deployment only.
        #[arg(long)]
        deployment: Option<String>,
    },
    /// Show a run.
    Get { app: String, run: String },
    /// Run a job of the active deployment now.
    Run {
        app: String,
        job: String,
        /// Wait until it ended.
        #[arg(long)]
        wait: bool,
    },
    /// End a run before its time.
    Cancel { app: String, run: String },
    /// Show the log of a run.
    Logs {
        app: String,
        run: String,
        /// Go on as lines are written.
        #[arg(long, short)]
        follow: bool,
        /// Only the last lines.
        #[arg(long)]
        tail: Option<u32>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    pub app: String,
    pub component: Option<String>,
    /// Which logs: build, deploy, run, or the run before the last restart.
    #[arg(long, value_enum, default_value_t = LogKind::Run)]
    pub r#type: LogKind,
    /// Of this deployment instead of the active one.
    #[arg(long)]
    pub deployment: Option<String>,
    /// Go on as lines are written.
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last lines.
    #[arg(long)]
    pub tail: Option<u32>,
    /// Of one run of a job.
    #[arg(long, conflicts_with_all = ["component", "deployment", "type"])]
    pub job_invocation: Option<String>,
    /// The lines alone, without component and time.
    #[arg(long)]
    pub no_prefix: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum LogKind {
    Build,
    Deploy,
    Run,
    RunRestarted,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    pub app: String,
    pub component: String,
    /// `web-0`; the first running instance when not given.
    #[arg(long)]
    pub instance: Option<String>,
    /// The command and its arguments, after `--`.
    #[arg(last = true)]
    pub command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A code, a cause, an exit code, a signal, a deployment's id, or an app: what is wrong with it now, or its newest failure.
    pub topic: String,
    /// Of the app.
    pub deployment: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Spec {
    /// Check a spec without sending it anywhere.
    Validate {
        /// The spec's file; `-` is standard input.
        file: PathBuf,
        /// Nothing else is ever asked of the server.
        #[arg(long, hide = true)]
        schema_only: bool,
    },
    /// Print the spec of an app, as YAML or (`--format json`) as JSON.
    Get {
        app: String,
        /// As this deployment had it.
        #[arg(long)]
        deployment: Option<String>,
    },
}

//! The server: the only room that wires.
//!
//! ```text
//!  http ──▶ app ──▶ rollout (an actor per app) ──▶ engine, builder, routes
//!                      └── store (before anything is done)
//! ```

mod alerts;
mod app;
mod authority;
mod bindings;
mod capacity;
mod clock;
mod config;
mod databases;
mod heap;
mod http;
mod keep;
mod listen;
mod logs;
mod metrics;
mod parts;
mod platform;
mod private_file;
mod probe;
mod rollout;
mod routes;
mod secrets;
mod server;
#[cfg(test)]
mod system;
mod tasks;
mod traffic;
mod uploads;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use config::Config;

/// What blocks a thread when the server ends may take so long to come to its own end.
const BLOCKING_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// The Mainstay server.
#[derive(Debug, Parser)]
#[command(name = "mainstay-server", version)]
struct Arguments {
    /// The configuration; every field has a default.
    #[arg(long, global = true, env = "MAINSTAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to end; apps go on after that.
    Run,
    /// Stop every app and take down everything that was made on this machine. Data stays.
    Down,
}

fn main() -> ExitCode {
    heap::keep_small();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("MAINSTAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", rollout::chain(&*error).join(": "));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(arguments.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async move {
        match arguments.command {
            Command::Run => server::run(config).await,
            Command::Down => server::down(config).await,
        }
    });
    // Files may still be copied or deleted; the next server takes that up.
    runtime.shutdown_timeout(BLOCKING_ENDS_WITHIN);
    Ok(ended?)
}

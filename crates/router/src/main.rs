//! The router's program: a supervisor that holds the listening sockets, and the serving processes that it starts.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use mainstay_router::{serve, settings::Settings, supervise};

#[derive(Debug, Parser)]
#[command(
    name = "mainstay-router",
    version,
    about = "Routes visitors' HTTP requests to the instances of apps"
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold the listening sockets, start and replace the serving process, answer the control socket
    Supervise {
        /// Address and port to listen on; port 0 lets the kernel choose
        #[arg(long, required = true)]
        listen: Vec<SocketAddr>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Serve; started by the supervisor
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        settings: Settings,
    },
}

fn main() -> ExitCode {
    let result = match Line::parse().command {
        Command::Supervise { listen, settings } => supervise::run(settings, &listen),
        Command::Serve { settings } => serve::run(settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mainstay-router: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The router's process: started by us, outlives us, started again when it is gone.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use super::{RouteError, Routes};

/// How long a started router may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub(crate) struct RouterSettings {
    pub program: PathBuf,
    pub listen: Vec<SocketAddr>,
    pub snapshot: PathBuf,
    pub control: PathBuf,
    pub log: PathBuf,
}

/// Keeps one router running.
#[derive(Debug, Clone)]
pub(crate) struct RouterProcess {
    settings: RouterSettings,
    routes: Routes,
}

impl RouterProcess {
    pub(crate) fn new(settings: RouterSettings, routes: Routes) -> Self {
        Self { settings, routes }
    }

    /// Returns at once when the router answers; else starts one and waits until it does.
    pub(crate) async fn ensure(&self) -> Result<(), RouteError> {
        if self.routes.status().await.is_ok() {
            return Ok(());
        }
        tracing::info!("starting the router");
        self.spawn().map_err(|source| RouteError::Control {
            path: self.settings.program.clone(),
            source,
        })?;
        let deadline = tokio::time::Instant::now() + ANSWERS_WITHIN;
        loop {
            match self.routes.status().await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Own session and no pipe to us: our end is not its end.
    fn spawn(&self) -> std::io::Result<()> {
        if !self.settings.snapshot.exists() {
            mainstay_router::snapshot::Snapshot::default().write(&self.settings.snapshot)?;
        }
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.settings.log.with_extension("out"))?;
        let mut command = Command::new(&self.settings.program);
        command.arg("supervise");
        for address in &self.settings.listen {
            command.arg("--listen").arg(address.to_string());
        }
        command.arg("--snapshot").arg(&self.settings.snapshot);
        command.arg("--control").arg(&self.settings.control);
        command.arg("--log").arg(&self.settings.log);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let mut child = command.spawn()?;
        // The router is nobody's child to wait for; a thread of its own reaps it while this server lives.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

//! The platform's own logs of a deployment: one per build, and one of platform lines per component while it is deployed. An instance's output
//! is kept by its shim; `app::log_reading` makes one stream of them, each line in its true place.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use mainstay_build::BuildLog;
use mainstay_shim::log::{LogLimits, LogReader, LogSource, LogWriter};
use mainstay_spec::ids::{BuildId, DeploymentId};

use crate::platform::PlatformError;

/// Lines that are remembered for evidence.
const TAIL_LINES: usize = 200;

/// Where the platform's logs are.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    directory: PathBuf,
    /// Several replicas speak in one log.
    writing: Arc<Mutex<()>>,
}

impl Logs {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            writing: Arc::default(),
        }
    }

    /// Holds a directory per build, named by its id.
    pub(crate) fn builds(&self) -> PathBuf {
        self.directory.join("builds")
    }

    /// Holds a directory per deployment, named by its id.
    pub(crate) fn deployments(&self) -> PathBuf {
        self.directory.join("deployments")
    }

    fn build_directory(&self, build: BuildId) -> PathBuf {
        self.builds().join(build.to_string())
    }

    fn deploy_directory(&self, deployment: DeploymentId, component: &str) -> PathBuf {
        self.deployments().join(deployment.to_string()).join(component)
    }

    pub(crate) fn build_writer(&self, build: BuildId) -> Result<BuildLogFile, PlatformError> {
        let directory = self.build_directory(build);
        let open = || -> Result<LogWriter, std::io::Error> {
            std::fs::create_dir_all(&directory)?;
            LogWriter::open(&directory, LogLimits::default()).map_err(std::io::Error::other)
        };
        let writer = open().map_err(|source| PlatformError::Io {
            operation: "open the build log".into(),
            source,
        })?;
        Ok(BuildLogFile {
            inner: Mutex::new(BuildLogInner {
                writer,
                tail: VecDeque::new(),
            }),
        })
    }

    /// Adds a line of the platform's to the deployment's log of the component. A log that cannot be written is no reason to stop a
    /// deployment.
    pub(crate) fn deploy_line(
        &self,
        deployment: DeploymentId,
        component: &str,
        source: LogSource,
        text: &str,
    ) {
        let directory = self.deploy_directory(deployment, component);
        let write = || -> Result<(), std::io::Error> {
            let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            std::fs::create_dir_all(&directory)?;
            let mut writer =
                LogWriter::open(&directory, LogLimits::default()).map_err(std::io::Error::other)?;
            writer.line(source, Timestamp::now(), text.as_bytes());
            writer.flush().map_err(std::io::Error::other)
        };
        if let Err(error) = write() {
            tracing::warn!(%deployment, component, error = &error as &dyn std::error::Error, "could not write a deploy log");
        }
    }

    pub(crate) fn build_reader(&self, build: BuildId, tail: Option<usize>) -> Option<LogReader> {
        LogReader::open(&self.build_directory(build), tail, None).ok()
    }

    pub(crate) fn has_build(&self, build: BuildId) -> bool {
        self.build_directory(build).is_dir()
    }

    pub(crate) fn deploy_reader(&self, deployment: DeploymentId, component: &str) -> Option<LogReader> {
        LogReader::open(&self.deploy_directory(deployment, component), None, None).ok()
    }

    /// Deletes what was kept of a deployment.
    pub(crate) fn forget_deployment(&self, deployment: DeploymentId) {
        drop(std::fs::remove_dir_all(
            self.deployments().join(deployment.to_string()),
        ));
    }

    /// Deletes the platform's lines of one run of a job.
    pub(crate) fn forget_run(&self, deployment: DeploymentId, log: &str) {
        drop(std::fs::remove_dir_all(self.deploy_directory(deployment, log)));
    }

    pub(crate) fn forget_build(&self, build: BuildId) {
        drop(std::fs::remove_dir_all(self.build_directory(build)));
    }
}

/// A build's log, while it is written.
#[derive(Debug)]
pub(crate) struct BuildLogFile {
    inner: Mutex<BuildLogInner>,
}

#[derive(Debug)]
struct BuildLogInner {
    writer: LogWriter,
    tail: VecDeque<String>,
}

impl BuildLogFile {
    /// The last lines, oldest first.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .tail
            .iter()
            .skip(inner.tail.len().saturating_sub(lines))
            .cloned()
            .collect()
    }
}

impl BuildLog for BuildLogFile {
    fn line(&self, source: LogSource, text: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.writer.line(source, Timestamp::now(), text.as_bytes());
        // Live readers want the line now; a build prints few enough of them.
        if let Err(error) = inner.writer.flush() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not write a build log"
            );
        }
        if inner.tail.len() == TAIL_LINES {
            inner.tail.pop_front();
        }
        inner.tail.push_back(text.to_owned());
    }
}

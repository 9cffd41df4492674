//! apt with all of its state in one directory, so that neither the machine's packages nor another root's are touched.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{DebianError, process::Tool, sources::Sources};
use crate::{
    settings::OperatorSettings,
    store::{StoreError, files},
};

const UPDATE_DEADLINE: Duration = Duration::from_mins(5);
const DOWNLOAD_DEADLINE: Duration = Duration::from_mins(20);

/// A directory with apt's configuration, lists and downloaded packages.
#[derive(Debug)]
pub(crate) struct AptRoot {
    directory: PathBuf,
    sources: Sources,
    settings: OperatorSettings,
}

impl AptRoot {
    pub(crate) fn create(
        directory: &Path,
        sources: Sources,
        settings: &OperatorSettings,
    ) -> Result<Self, DebianError> {
        for part in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "state/lists/partial",
            "cache/archives/partial",
            "log",
        ] {
            files::create_directory(&directory.join(part), 0o700)?;
        }
        let apt = Self {
            directory: directory.to_owned(),
            sources,
            settings: settings.clone(),
        };
        write(
            &directory.join("etc/sources.list"),
            &(apt.sources.lines().join("\n") + "\n"),
        )?;
        Ok(apt)
    }

    /// Fetches the lists of packages.
    pub(crate) async fn update(&self, status: &Path) -> Result<(), DebianError> {
        self.tool(UPDATE_DEADLINE, &self.directory, status)?
            .arguments(["update"])
            .run(|_| {})
            .await
    }

    /// Downloads packages with all that they need beyond what `status` has installed.
    pub(crate) async fn download(&self, names: &[&str], status: &Path) -> Result<(), DebianError> {
        let tool = self.tool(DOWNLOAD_DEADLINE, &self.directory, status)?;
        let ended = tool
            .arguments(["install", "--yes", "--download-only", "--"])
            .arguments(names)
            .run(|_| {})
            .await;
        ended.map_err(|error| self.missing_package(error))
    }

    /// The packages that were downloaded.
    pub(crate) fn archives(&self) -> Result<Vec<PathBuf>, StoreError> {
        let paths = files::list(&self.directory.join("cache/archives"))?;
        Ok(paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .collect())
    }

    /// A call of apt-get. `seen_at`: where this directory is for the apt that is called, which may live in another root.
    pub(crate) fn tool(
        &self,
        deadline: Duration,
        seen_at: &Path,
        status: &Path,
    ) -> Result<Tool, DebianError> {
        // Not named `apt.conf`: apt would read that one too, after the one that it is told.
        let name = if seen_at == self.directory {
            "outside.conf"
        } else {
            "inside.conf"
        };
        write(&self.directory.join(name), &self.configuration(seen_at, status))?;
        let tool = Tool::new("apt-get", deadline).variable("APT_CONFIG", seen_at.join(name));
        Ok(with_proxies(tool, &self.settings))
    }

    fn configuration(&self, seen_at: &Path, status: &Path) -> String {
        let place = |part: &str| format!("{}/", seen_at.join(part).display());
        let ca = self
            .settings
            .ca_bundle
            .as_ref()
            .map(|path| path.display().to_string());
        let mut options = vec![
            ("Dir::Etc", place("etc")),
            ("Dir::State", place("state")),
            ("Dir::State::status", status.display().to_string()),
            ("Dir::Cache", place("cache")),
            ("Dir::Log", place("log")),
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Install-Recommends", "false".to_owned()),
            ("APT::Get::AllowUnauthenticated", "false".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::PDiffs", "false".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
            ("Acquire::http::Timeout", "30".to_owned()),
            ("Acquire::https::Timeout", "30".to_owned()),
            ("DPkg::Use-Pty", "false".to_owned()),
            // All state is in directories of ours, but for the list of what a stack has, which several read at once.
            ("Debug::NoLocking", "true".to_owned()),
        ];
        options.extend(ca.map(|path| ("Acquire::https::CAInfo", path)));
        if self.sources.is_snapshot() {
            options.push(("Acquire::Check-Valid-Until", "false".to_owned()));
        }
        let lines: Vec<String> = options
            .iter()
            .map(|(name, value)| format!("{name} \"{value}\";\n"))
            .collect();
        lines.concat()
    }

    /// apt tells of an unknown package in words only.
    fn missing_package(&self, error: DebianError) -> DebianError {
        let unknown = error.tail().iter().find_map(|line| {
            line.strip_prefix("E: Unable to locate package ").or_else(|| {
                line.strip_prefix("E: Package '")?
                    .strip_suffix("' has no installation candidate")
            })
        });
        match unknown {
            Some(name) => DebianError::NoPackage {
                name: name.to_owned(),
                suite: self.sources.suite.clone(),
            },
            None => error,
        }
    }
}

/// Proxies go by the environment: they may hold passwords, and arguments are seen by everybody.
pub(crate) fn with_proxies(mut tool: Tool, settings: &OperatorSettings) -> Tool {
    for (variable, aptitude) in [
        ("HTTP_PROXY", "http_proxy"),
        ("HTTPS_PROXY", "https_proxy"),
        ("NO_PROXY", "no_proxy"),
        ("ALL_PROXY", "all_proxy"),
    ] {
        if let Some(value) = settings.variable(variable) {
            tool = tool.variable(aptitude, value);
        }
    }
    tool
}

fn write(path: &Path, text: &str) -> Result<(), DebianError> {
    Ok(fs::write(path, text).map_err(|error| StoreError::file("write", path, error))?)
}

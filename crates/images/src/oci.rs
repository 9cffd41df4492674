//! The OCI image config ("OCI image configuration", also Docker's older one), as far as it is used here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::record::ImageConfig;

/// Largest config that is read: real ones have a few kilobytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// What this machine runs.
pub(crate) const OS: &str = "linux";
pub(crate) const ARCHITECTURE: &str = "amd64";

/// An image's config file.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    working_dir: Option<String>,
    #[serde(default)]
    stop_signal: Option<String>,
}

impl ConfigFile {
    /// "linux/arm64", or `None` when this machine can run it (or it does not say).
    pub(crate) fn foreign_platform(&self) -> Option<String> {
        let same = |said: &str, ours: &str| said.is_empty() || said == ours;
        let runs = same(&self.os, OS) && same(&self.architecture, ARCHITECTURE);
        (!runs).then(|| format!("{}/{}", self.os, self.architecture))
    }

    /// Digests of the layers' tars, bottom first.
    pub(crate) fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }

    pub(crate) fn into_image_config(self) -> ImageConfig {
        let run = self.config.unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        ImageConfig {
            env: run
                .env
                .unwrap_or_default()
                .iter()
                .filter_map(|pair| variable(pair))
                .collect(),
            entrypoint: run.entrypoint.unwrap_or_default(),
            command: run.cmd.unwrap_or_default(),
            working_dir: filled(run.working_dir),
            user: filled(run.user),
            exposed_ports: run
                .exposed_ports
                .unwrap_or_default()
                .keys()
                .filter_map(|port| tcp_port(port))
                .collect(),
            stop_signal: filled(run.stop_signal),
            ..ImageConfig::default()
        }
    }
}

fn variable(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

/// "80/tcp" or "80"; ports of other protocols are not ours.
fn tcp_port(text: &str) -> Option<u16> {
    text.strip_suffix("/tcp").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: serde_json::Value) -> ConfigFile {
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn what_is_said_about_running_is_taken() {
        let config = read(serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "User": "app", "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8080": {}},
                "Env": ["PATH=/bin", "EQUALS=a=b", "broken"], "Entrypoint": ["/tini", "--"], "Cmd": ["serve"],
                "WorkingDir": "/srv", "StopSignal": "SIGQUIT"
            },
            "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]}
        }));
        assert_eq!(config.foreign_platform(), None);
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = ImageConfig {
            env: [variable("PATH", "/bin"), variable("EQUALS", "a=b")].into(),
            entrypoint: vec!["/tini".to_owned(), "--".to_owned()],
            command: vec!["serve".to_owned()],
            working_dir: Some("/srv".to_owned()),
            user: Some("app".to_owned()),
            exposed_ports: vec![80, 8080],
            stop_signal: Some("SIGQUIT".to_owned()),
            ..ImageConfig::default()
        };
        assert_eq!(config.into_image_config(), expected);
    }

    #[test]
    fn nulls_and_foreign_platforms_are_read() {
        let config = read(serde_json::json!({
            "architecture": "arm64", "os": "linux", "rootfs": {"diff_ids": []},
            "config": {"User": "", "ExposedPorts": null, "Env": null, "Entrypoint": null, "Cmd": null, "WorkingDir": ""}
        }));
        assert_eq!(config.foreign_platform().as_deref(), Some("linux/arm64"));
        assert_eq!(config.into_image_config(), ImageConfig::default());
    }
}

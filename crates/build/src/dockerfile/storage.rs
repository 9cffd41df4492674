//! Reads buildah's stores: images, their layer directories and configurations. Never writes: changes go through buildah.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use mainstay_images::record::ImageConfig;
use serde::{Deserialize, de::DeserializeOwned};

/// More layers than any image has; a longer chain is a loop.
const LAYERS_MAX: usize = 512;

/// An image of a store.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StoredImage {
    pub id: String,
    #[serde(default)]
    pub names: Vec<String>,
    /// The top layer; absent in an image without any.
    #[serde(default)]
    layer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StoredLayer {
    id: String,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default, rename = "diff-size")]
    bytes: u64,
}

impl StoredImage {
    /// Directory of the top layer, if it lies in this store.
    pub(crate) fn layer_directory(&self, root: &Path) -> Option<PathBuf> {
        let layer = self.layer.as_deref().filter(|layer| !layer.is_empty())?;
        Some(layer_directory(root, layer))
    }
}

fn layer_directory(root: &Path, layer: &str) -> PathBuf {
    root.join("overlay").join(layer).join("diff")
}

#[derive(Debug, Deserialize)]
struct StoredContainer {
    id: String,
}

/// The image configuration as OCI and docker write it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct StoredConfig {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    config: Option<StoredSettings>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct StoredSettings {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    stop_signal: Option<String>,
}

/// A store's file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("understanding {path}")]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("image {0} is not in the store")]
    NoImage(String),
    #[error("layer {0} is in no store")]
    NoLayer(String),
}

/// All images of a store; none when it does not exist yet.
pub(crate) fn images(root: &Path) -> Result<Vec<StoredImage>, StorageError> {
    list(&root.join("overlay-images/images.json"))
}

/// Ids of the working containers that are left in a store.
pub(crate) fn containers(root: &Path) -> Result<Vec<String>, StorageError> {
    let list: Vec<StoredContainer> = list(&root.join("overlay-containers/containers.json"))?;
    Ok(list.into_iter().map(|container| container.id).collect())
}

pub(crate) fn contains(root: &Path, image: &str) -> bool {
    images(root).is_ok_and(|images| images.iter().any(|stored| stored.id == image))
}

/// Layer directories of an image of the first store, bottom first. A parent may lie in any of the stores.
pub(crate) fn layer_directories(roots: &[&Path], image: &str) -> Result<Vec<PathBuf>, StorageError> {
    let top = images(roots[0])?
        .into_iter()
        .find(|stored| stored.id == image)
        .ok_or_else(|| StorageError::NoImage(image.to_owned()))?
        .layer
        .filter(|layer| !layer.is_empty());
    let mut parents = BTreeMap::new();
    for root in roots {
        let layers: Vec<StoredLayer> = list(&root.join("overlay-layers/layers.json"))?;
        for layer in layers {
            let directory = layer_directory(root, &layer.id);
            parents.entry(layer.id).or_insert((layer.parent, directory));
        }
    }
    let mut directories = Vec::new();
    let mut next = top;
    while let Some(id) = next {
        let (parent, directory) = parents
            .get(&id)
            .filter(|_| directories.len() < LAYERS_MAX)
            .ok_or_else(|| StorageError::NoLayer(id.clone()))?;
        directories.push(directory.clone());
        next = parent.clone().filter(|parent| !parent.is_empty());
    }
    directories.reverse();
    Ok(directories)
}

/// The layers of an image of one store, top first, with their directories; without those of other stores below them.
pub(crate) fn layers_of(root: &Path, image: &StoredImage) -> Result<Vec<(String, PathBuf)>, StorageError> {
    let layers: Vec<StoredLayer> = list(&root.join("overlay-layers/layers.json"))?;
    let parents: BTreeMap<&str, Option<&str>> = layers
        .iter()
        .map(|layer| (layer.id.as_str(), layer.parent.as_deref()))
        .collect();
    let mut found = Vec::new();
    let mut next = image.layer.as_deref();
    while let Some((id, parent)) = next.and_then(|id| parents.get_key_value(id))
        && found.len() < LAYERS_MAX
    {
        found.push(((*id).to_owned(), layer_directory(root, id)));
        next = *parent;
    }
    Ok(found)
}

/// Layers that images and other layers of the store lie on directly; their own store may be another.
pub(crate) fn lain_on(root: &Path) -> Result<Vec<String>, StorageError> {
    let layers: Vec<StoredLayer> = list(&root.join("overlay-layers/layers.json"))?;
    let parents = layers.into_iter().filter_map(|layer| layer.parent);
    let tops = images(root)?.into_iter().filter_map(|image| image.layer);
    Ok(parents.chain(tops).collect())
}

/// Bytes of every layer of one store.
pub(crate) fn layer_sizes(root: &Path) -> Result<BTreeMap<String, u64>, StorageError> {
    let layers: Vec<StoredLayer> = list(&root.join("overlay-layers/layers.json"))?;
    Ok(layers.into_iter().map(|layer| (layer.id, layer.bytes)).collect())
}

/// The configuration of an image. Its file is named by the base64 of its digest, which is the image's id.
pub(crate) fn config(root: &Path, image: &str) -> Result<StoredConfig, StorageError> {
    let name = BASE64.encode(format!("sha256:{image}").as_bytes());
    read_json(&root.join("overlay-images").join(image).join(format!("={name}")))
}

impl StoredConfig {
    pub(crate) fn into_image_config(self) -> ImageConfig {
        let settings = self.config.unwrap_or_default();
        let pair = |entry: String| {
            let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
            (name.to_owned(), value.to_owned())
        };
        ImageConfig {
            env: settings.env.unwrap_or_default().into_iter().map(pair).collect(),
            entrypoint: settings.entrypoint.unwrap_or_default(),
            command: settings.cmd.unwrap_or_default(),
            working_dir: settings.working_dir.filter(|path| !path.is_empty()),
            user: settings.user.filter(|user| !user.is_empty()),
            exposed_ports: settings
                .exposed_ports
                .unwrap_or_default()
                .keys()
                .filter_map(|port| tcp_port(port))
                .collect(),
            stop_signal: settings.stop_signal.filter(|signal| !signal.is_empty()),
            processes: BTreeMap::new(),
            run_by_shell: false,
        }
    }
}

/// "8080/tcp" or "8080".
fn tcp_port(text: &str) -> Option<u16> {
    match text.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn list<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StorageError> {
    match read_json(path) {
        Err(StorageError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StorageError> {
    let text = fs::read(path).map_err(|source| StorageError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| StorageError::Parse {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_becomes_ours() {
        let stored: StoredConfig = serde_json::from_str(
            r#"{"architecture":"amd64","config":{"Env":["PATH=/bin","A=b=c"],"Cmd":["cat","x"],"Entrypoint":null,
               "WorkingDir":"","User":"1000","ExposedPorts":{"8080/tcp":{},"53/udp":{}},"StopSignal":"SIGINT"}}"#,
        )
        .unwrap();
        let config = stored.into_image_config();
        assert_eq!(config.env["A"], "b=c");
        assert_eq!(config.command, ["cat", "x"]);
        assert_eq!((config.working_dir, config.exposed_ports), (None, vec![8080]));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    }

    #[test]
    fn layers_are_followed_into_the_shared_store() {
        let dir = tempfile::tempdir().unwrap();
        let (own, shared) = (dir.path().join("own"), dir.path().join("shared"));
        for root in [&own, &shared] {
            fs::create_dir_all(root.join("overlay-images")).unwrap();
            fs::create_dir_all(root.join("overlay-layers")).unwrap();
        }
        fs::write(
            own.join("overlay-images/images.json"),
            r#"[{"id":"i","layer":"b"}]"#,
        )
        .unwrap();
        fs::write(
            own.join("overlay-layers/layers.json"),
            r#"[{"id":"b","parent":"a"}]"#,
        )
        .unwrap();
        fs::write(shared.join("overlay-layers/layers.json"), r#"[{"id":"a"}]"#).unwrap();
        let found = layer_directories(&[&own, &shared], "i").unwrap();
        assert_eq!(found, [shared.join("overlay/a/diff"), own.join("overlay/b/diff")]);
        assert!(matches!(layer_directories(&[&own], "i"), Err(StorageError::NoLayer(id)) if id == "a"));
    }
}

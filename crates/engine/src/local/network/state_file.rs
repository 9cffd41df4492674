//! Keeps the allocations in a JSON file that is only ever replaced as a whole.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Write},
    path::Path,
};

use mainstay_spec::ids::AppId;
use serde::{Deserialize, Serialize};

use super::{
    allocations::{Allocations, AppNetwork, subnet},
    config::NetworkConfig,
    error::NetworkError,
};
use crate::api::InternalService;

const VERSION: u32 = 2;
/// Of version 1: an app's subnet was told by its place among subnets of this length.
const OLD_PREFIX_LENGTH: u8 = 24;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    allocations: Allocations,
}

#[derive(Deserialize)]
struct OldDocument {
    apps: BTreeMap<AppId, OldNetwork>,
}

#[derive(Deserialize)]
struct OldNetwork {
    place: u32,
    names: BTreeMap<String, u32>,
    services: Vec<InternalService>,
    #[serde(default)]
    databases: Vec<InternalService>,
}

/// Of which version a file is, whatever else it holds.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl OldDocument {
    fn read(self, config: &NetworkConfig) -> Allocations {
        let read = |old: OldNetwork| AppNetwork {
            names: old.names,
            services: old.services,
            databases: old.databases,
            ..AppNetwork::new(
                subnet(config.pool, OLD_PREFIX_LENGTH, old.place),
                subnet(config.service_pool, OLD_PREFIX_LENGTH, old.place),
            )
        };
        let apps = self.apps.into_iter().map(|(app, old)| (app, read(old)));
        Allocations { apps: apps.collect() }
    }
}

/// What the file holds; nothing if there is none.
pub(super) fn load(config: &NetworkConfig) -> Result<Allocations, NetworkError> {
    let path = config.state_file.as_path();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Allocations::default()),
        Err(source) => {
            return Err(NetworkError::Io {
                operation: format!("read {}", path.display()),
                source,
            });
        }
    };
    let damaged = |source| NetworkError::StateFile {
        path: path.to_owned(),
        source,
    };
    let Version { version } = serde_json::from_slice(&text).map_err(damaged)?;
    match version {
        VERSION => {
            let document: Document = serde_json::from_slice(&text).map_err(damaged)?;
            Ok(document.allocations)
        }
        1 => {
            let document: OldDocument = serde_json::from_slice(&text).map_err(damaged)?;
            Ok(document.read(config))
        }
        _ => Err(NetworkError::Io {
            operation: format!(
                "read {}: it is of version {version}, this is {VERSION}",
                path.display()
            ),
            source: ErrorKind::Unsupported.into(),
        }),
    }
}

/// Replaces the file; after a crash either the old or the new content is there.
pub(super) fn save(path: &Path, allocations: &Allocations) -> Result<(), NetworkError> {
    let document = Document {
        version: VERSION,
        allocations: allocations.clone(),
    };
    let text = serde_json::to_vec_pretty(&document).map_err(|source| NetworkError::StateFile {
        path: path.to_owned(),
        source,
    })?;
    replace(path, &text).map_err(NetworkError::io(format!("write {}", path.display())))
}

/// Removes the file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), NetworkError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(NetworkError::Io {
            operation: format!("remove {}", path.display()),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(directory)?;
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::api::NameGroup;

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/network.json");
        let config = NetworkConfig::new(path.clone());
        assert_eq!(load(&config).unwrap(), Allocations::default());
        let app = AppId::from_uuid(Uuid::from_u128(7));
        let mut allocations = Allocations::default();
        allocations.ensure_app(app, &config).unwrap();
        let service = InternalService {
            component: "web".to_owned(),
            ports: vec![(80, 8080)],
            addresses: Vec::new(),
        };
        allocations
            .set_services(app, NameGroup::Services, &[service])
            .unwrap();
        save(&path, &allocations).unwrap();
        assert_eq!(load(&config).unwrap(), allocations);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(load(&config).unwrap(), Allocations::default());
    }

    #[test]
    fn apps_of_an_earlier_version_keep_their_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let config = NetworkConfig::new(directory.path().join("network.json"));
        let app = AppId::from_uuid(Uuid::from_u128(7));
        let text = format!(
            r#"{{"version": 1, "apps": {{"{app}": {{"place": 5, "names": {{"web": 2}}, "services": []}}}}}}"#
        );
        std::fs::write(&config.state_file, text).unwrap();
        let loaded = load(&config).unwrap();
        let network = loaded.app(app).unwrap();
        assert_eq!(network.subnet.to_string(), "10.210.5.0/24");
        assert_eq!(network.service_subnet.to_string(), "10.211.5.0/24");
        assert_eq!(network.service_address("web").unwrap().to_string(), "10.211.5.2");
        save(&config.state_file, &loaded).unwrap();
        assert_eq!(load(&config).unwrap(), loaded);
        std::fs::write(&config.state_file, r#"{"version": 3}"#).unwrap();
        let refused = load(&config).unwrap_err().to_string();
        assert!(refused.contains("version 3, this is 2"), "{refused}");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.json");
        std::fs::write(&path, "{\"version\": 1, \"apps\"").unwrap();
        let error = load(&NetworkConfig::new(path)).unwrap_err();
        assert!(error.to_string().contains("network.json"));
    }
}

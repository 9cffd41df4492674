//! Keeps the allocations in a JSON file that is only ever replaced as a whole.

use std::{
    io::{self, ErrorKind, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{allocations::Allocations, error::NetworkError};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    allocations: Allocations,
}

/// What the file holds; nothing if there is none.
pub(super) fn load(path: &Path) -> Result<Allocations, NetworkError> {
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
    let document: Document = serde_json::from_slice(&text).map_err(|source| NetworkError::StateFile {
        path: path.to_owned(),
        source,
    })?;
    if document.version != VERSION {
        let operation = format!(
            "read {}: it is of version {}, this is {VERSION}",
            path.display(),
            document.version
        );
        return Err(NetworkError::Io {
            operation,
            source: ErrorKind::Unsupported.into(),
        });
    }
    Ok(document.allocations)
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
    use std::path::PathBuf;

    use mainstay_spec::ids::AppId;
    use uuid::Uuid;

    use super::*;
    use crate::{
        api::{InternalService, NameGroup},
        local::network::NetworkConfig,
    };

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/network.json");
        assert_eq!(load(&path).unwrap(), Allocations::default());
        let config = NetworkConfig::new(PathBuf::new());
        let app = AppId::from_uuid(Uuid::from_u128(7));
        let mut allocations = Allocations::default();
        allocations.ensure_app(app, &config).unwrap();
        let service = InternalService {
            component: "web".to_owned(),
            ports: vec![(80, 8080)],
            addresses: Vec::new(),
        };
        allocations
            .set_services(app, NameGroup::Services, &[service], &config)
            .unwrap();
        save(&path, &allocations).unwrap();
        assert_eq!(load(&path).unwrap(), allocations);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(load(&path).unwrap(), Allocations::default());
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.json");
        std::fs::write(&path, "{\"version\": 1, \"apps\"").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("network.json"));
    }
}

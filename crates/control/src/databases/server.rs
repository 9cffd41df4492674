//! A database's server as an instance: the same limits, mounts and network whatever its engine.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use mainstay_engine::{InstanceOwner, InstanceSpec, Limits, Mount, MountKind, Network};
use mainstay_images::stack::USER_ID;
use mainstay_spec::ids::InstanceId;
use mainstay_store::DatabaseRow;

use super::{engines::Engine, volume::Places};
use crate::{authority::ServerIdentity, config::DatabasesConfig, platform::PlatformError};

/// Where the server sees its settings.
pub(super) const SETTINGS: &str = "/etc/mainstay-database";
/// In there: its certificate for the component's name, and the key of it.
pub(super) const CERTIFICATE: &str = "/etc/mainstay-database/server.crt";
pub(super) const KEY: &str = "/etc/mainstay-database/server.key";

const CPU_SHARES: u32 = 1024;
/// Of the root file system; the data is on the volume.
const DISK_BYTES: u64 = 256 << 20;

/// A database's image and limits, as its server and its tools get them.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) row: &'a DatabaseRow,
    pub(super) engine: &'static dyn Engine,
    pub(super) places: &'a Places,
    pub(super) config: &'a DatabasesConfig,
}

impl Place<'_> {
    /// Writes what the server reads at its start. Only root passes the directory above.
    pub(super) fn write_settings(&self, identity: &ServerIdentity) -> Result<(), PlatformError> {
        let directory = self.places.settings();
        let failed = |source| PlatformError::Io {
            operation: format!(
                "write the settings of database {} to {}",
                self.row.name,
                directory.display()
            ),
            source,
        };
        let write = || -> io::Result<()> {
            match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(self.places.root())?;
            fs::DirBuilder::new().mode(0o700).create(&directory)?;
            chown(&directory, Some(USER_ID), Some(USER_ID))?;
            let file = |name: &str, text: &str| write_file(&directory.join(name), text);
            for (name, text) in self.engine.settings(self.row, self.config) {
                file(name, &text)?;
            }
            file("server.crt", &identity.certificate)?;
            file("server.key", &identity.key)
        };
        write().map_err(failed)
    }

    /// One of the commands that fill an empty volume.
    pub(super) fn initialize(&self, id: InstanceId, layers: Vec<PathBuf>, argv: Vec<String>) -> InstanceSpec {
        InstanceSpec {
            network: Network::None,
            argv,
            ..self.serve(id, layers)
        }
    }

    /// Serves what is on the volume.
    pub(super) fn serve(&self, id: InstanceId, layers: Vec<PathBuf>) -> InstanceSpec {
        let (row, config) = (self.row, self.config);
        let mounts = [
            (
                self.engine.volume(),
                MountKind::Volume {
                    image: self.places.volume(row),
                    id: row.id.to_string(),
                },
            ),
            (
                SETTINGS,
                MountKind::ReadOnly {
                    source: self.places.settings(),
                },
            ),
        ];
        InstanceSpec {
            id,
            owner: InstanceOwner::Database {
                app: row.app,
                database: row.id,
            },
            layers,
            mounts: mounts
                .map(|(target, kind)| Mount {
                    target: target.to_owned(),
                    kind,
                })
                .into(),
            argv: self.engine.serve(row),
            env: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
            working_dir: "/".into(),
            user: Some(format!("{USER_ID}:{USER_ID}")),
            hostname: row.name.clone(),
            limits: Limits {
                memory_bytes: config.memory_bytes,
                cpu_millis: config.cpu_millis,
                cpu_shares: CPU_SHARES,
                pids: config.pids,
                disk_bytes: Some(DISK_BYTES),
            },
            network: Network::App,
            stop_signal: self.engine.stop_signal(),
        }
    }
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    chown(path, Some(USER_ID), Some(USER_ID))?;
    file.write_all(text.as_bytes())
}

//! The instances that backups work in: one that has PostgreSQL's tools and reaches the database, and one with a server of its own that nobody
//! reaches. Both end by themselves after a while, should there be nobody to end them.

use std::path::{Path, PathBuf};

use mainstay_engine::{InstanceSpec, Mount, MountKind, Network};
use mainstay_spec::ids::{DatabaseId, InstanceId};

use super::super::{
    postgres::{new_cluster, program},
    server::Place,
};

/// The directory of the server's socket inside its instance: nobody else is in there.
pub(super) const SOCKETS: &str = "/tmp";
const VOLUME: &str = "/var/lib/postgresql";
const DATA: &str = "/var/lib/postgresql/data";
const SIGKILL: i32 = 9;
/// Beyond what a backup may take.
const OUTLIVES_SECONDS: u64 = 600;
/// `SIGINT` is PostgreSQL's fast shutdown; after so long it is killed.
const KILLED_AFTER: &str = "--kill-after=60";

/// A database's image and limits, as its tools get them.
pub(super) struct Ground<'a> {
    pub(super) place: Place<'a>,
    pub(super) layers: Vec<PathBuf>,
}

/// The volume of a scratch server.
#[derive(Debug, Clone)]
pub(super) struct ScratchVolume {
    pub(super) image: PathBuf,
    pub(super) id: DatabaseId,
    /// It is to be somebody's data: what is written has to be on disk.
    pub(super) is_durable: bool,
}

impl Ground<'_> {
    fn lives_seconds(&self) -> String {
        (self.place.config.backups.time_seconds + OUTLIVES_SECONDS).to_string()
    }

    fn instance(&self, id: InstanceId, argv: Vec<String>) -> InstanceSpec {
        let serve = self.place.serve(id, self.layers.clone());
        InstanceSpec {
            mounts: Vec::new(),
            network: Network::None,
            argv,
            ..serve
        }
    }

    /// Does nothing by itself. On the app's network, for the database is.
    pub(super) fn tools(&self, id: InstanceId) -> InstanceSpec {
        InstanceSpec {
            network: Network::App,
            hostname: "backup".to_owned(),
            stop_signal: SIGKILL,
            ..self.instance(id, vec!["/usr/bin/sleep".into(), self.lives_seconds()])
        }
    }

    /// Makes an empty cluster as the database's own, but that whoever is inside may log in.
    pub(super) fn initialize(&self, id: InstanceId, volume: &ScratchVolume) -> InstanceSpec {
        let argv = new_cluster(self.place.row, &["--auth=trust".into()]);
        InstanceSpec {
            mounts: vec![mount(&volume.image, volume.id)],
            ..self.instance(id, argv)
        }
    }

    /// Serves it, over its socket alone.
    pub(super) fn serve(&self, id: InstanceId, volume: &ScratchVolume) -> InstanceSpec {
        let mut argv: Vec<String> = vec![
            "/usr/bin/timeout".into(),
            "--foreground".into(),
            "--signal=INT".into(),
            KILLED_AFTER.into(),
            self.lives_seconds(),
            program(self.place.row, "postgres"),
            "-D".into(),
            DATA.into(),
        ];
        let shared_buffers_mib = (self.place.config.memory_bytes / 4) >> 20;
        let maintenance_mib = (self.place.config.memory_bytes / 8) >> 20;
        let always = [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={SOCKETS}"),
            format!("shared_buffers={shared_buffers_mib}MB"),
            format!("maintenance_work_mem={maintenance_mib}MB"),
            "max_connections=10".to_owned(),
            "max_wal_size=1GB".to_owned(),
            "wal_level=minimal".to_owned(),
            "max_wal_senders=0".to_owned(),
            "jit=off".to_owned(),
            "log_min_error_statement=panic".to_owned(),
        ];
        let careless = ["fsync=off", "full_page_writes=off", "autovacuum=off"];
        let more = careless.iter().filter(|_| !volume.is_durable);
        for setting in always
            .into_iter()
            .chain(more.map(|setting| (*setting).to_owned()))
        {
            argv.extend(["-c".into(), setting]);
        }
        InstanceSpec {
            mounts: vec![mount(&volume.image, volume.id)],
            hostname: "restored".to_owned(),
            ..self.instance(id, argv)
        }
    }
}

fn mount(image: &Path, id: DatabaseId) -> Mount {
    Mount {
        target: VOLUME.to_owned(),
        kind: MountKind::Volume {
            image: image.to_owned(),
            id: id.to_string(),
        },
    }
}

//! The instances that backups work in: one that has an engine's tools and reaches the database, and those on a volume that nobody else
//! reaches. They end by themselves after a while, should there be nobody to end them.

use std::path::{Path, PathBuf};

use mainstay_engine::{InstanceSpec, Mount, MountKind, Network};
use mainstay_spec::ids::{DatabaseId, InstanceId};

use super::super::server::Place;

/// The directory of a server's socket inside its instance: nobody else is in there.
pub(in crate::databases) const SOCKETS: &str = "/tmp";
const SIGKILL: i32 = 9;
/// Beyond what a backup may take.
const OUTLIVES_SECONDS: u64 = 600;
/// A server that does not end in order is killed after so long.
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
            ..self.idle(id)
        }
    }

    fn idle(&self, id: InstanceId) -> InstanceSpec {
        InstanceSpec {
            stop_signal: SIGKILL,
            ..self.instance(id, vec!["/usr/bin/sleep".into(), self.lives_seconds()])
        }
    }

    /// As [`Self::idle`], with the volume.
    pub(super) fn idle_on(&self, id: InstanceId, volume: &ScratchVolume) -> InstanceSpec {
        InstanceSpec {
            mounts: self.mounts(volume),
            ..self.idle(id)
        }
    }

    /// Works on the volume, and ends.
    pub(super) fn command(&self, id: InstanceId, volume: &ScratchVolume, argv: Vec<String>) -> InstanceSpec {
        InstanceSpec {
            mounts: self.mounts(volume),
            ..self.instance(id, argv)
        }
    }

    /// Serves what is on the volume.
    pub(super) fn serve(&self, id: InstanceId, volume: &ScratchVolume, argv: Vec<String>) -> InstanceSpec {
        let signal = self.place.engine.stop_signal();
        let mut limited: Vec<String> = vec![
            "/usr/bin/timeout".into(),
            "--foreground".into(),
            format!("--signal={signal}"),
            KILLED_AFTER.into(),
            self.lives_seconds(),
        ];
        limited.extend(argv);
        InstanceSpec {
            hostname: "restored".to_owned(),
            ..self.command(id, volume, limited)
        }
    }

    fn mounts(&self, volume: &ScratchVolume) -> Vec<Mount> {
        vec![mount(self.place.engine.volume(), &volume.image, volume.id)]
    }
}

fn mount(target: &str, image: &Path, id: DatabaseId) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Volume {
            image: image.to_owned(),
            id: id.to_string(),
        },
    }
}

//! Names, networks, ports and directories that nobody else on the machine has.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use mainstay_testkit::Place;
use serde_json::Value;
use tempfile::TempDir;

use super::small_disk::SmallDisk;

#[derive(Debug)]
pub(super) struct Setup {
    /// Of cgroups and the nft table.
    pub(super) name: String,
    /// Of devices.
    pub(super) prefix: String,
    pub(super) api: SocketAddr,
    /// The API is encrypted.
    pub(super) tls: bool,
    pub(super) router: SocketAddr,
    /// Where Docker Hub's images come from, once a test starts a registry there.
    pub(super) registry: SocketAddr,
    /// Where those are asked for that want a login, and that have too many visitors.
    pub(super) refused: SocketAddr,
    pub(super) busy: SocketAddr,
    /// Where the data are, if it is a disk of its own; before the directory that it lies in.
    disk: Option<SmallDisk>,
    root: TempDir,
    /// Short: the paths of sockets have a limit.
    run: TempDir,
    place: Place,
    network: Network,
    /// What the configuration has beside addresses and places.
    more: String,
}

/// What is unusual about a platform.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    pub(super) tls: bool,
    pub(super) network: Network,
    /// The data get a disk of their own with so many bytes.
    pub(super) disk: Option<u64>,
}

/// How many addresses a platform has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Network {
    #[default]
    Wide,
    /// Two apps can have a range, of five addresses each.
    Narrow,
}

impl Setup {
    /// `more` is added to the configuration.
    pub(super) fn make(more: &str, wishes: Wishes) -> Self {
        let Wishes { tls, network, disk } = wishes;
        let place = Place::claim();
        let temporary = |prefix: &str, parent: &Path| {
            tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(parent)
                .expect("root may write there")
        };
        let mut setup = Self {
            // What a killed test left behind is not taken for ours.
            name: format!("e2e{}p{}", place.tag(), std::process::id()),
            prefix: format!("x{}", place.tag()),
            api: place.address(0),
            tls,
            router: place.address(1),
            registry: place.address(2),
            refused: place.address(4),
            busy: place.address(5),
            disk: None,
            root: temporary("mainstay-e2e-", &std::env::temp_dir()),
            run: temporary("ms-", Path::new("/run")),
            place,
            network,
            more: more.to_owned(),
        };
        // Instances' users have to pass through, as they do in /var/lib.
        let passage = fs::Permissions::from_mode(0o711);
        fs::set_permissions(setup.root(), passage).expect("our own directory");
        setup.disk = disk.map(|bytes| SmallDisk::mount(&setup.data_dir(), bytes));
        fs::create_dir_all(setup.images_dir()).expect("our own directory");
        setup.configure("");
        setup
    }

    /// Writes the configuration, with what it has in any case and what comes to it for now.
    pub(super) fn configure(&self, for_now: &str) {
        let config = format!("{}{}{for_now}", self.config(), self.more);
        fs::write(self.config_path(), config).expect("our own directory");
    }

    fn config(&self) -> String {
        format!(
            "name = '{name}'\ndata_dir = '{data}'\nrun_dir = '{run}'\n\
             [api]\nlisten = '{api}'\ntls = '{tls}'\n\
             [router]\nlisten = ['{router}']\n\
             [network]\npool = '{pool}'\nservice_pool = '{service_pool}'\nprefix = '{prefix}'\n{ranges}\
             [sources]\nlocal_paths = ['{repositories}']\n\
             [registries.mirrors]\n'docker.io' = '{registry}'\n'refused.example' = '{refused}'\n'busy.example' = '{busy}'\n",
            name = self.name,
            data = self.data_dir().display(),
            run = self.run_dir().display(),
            api = self.api,
            tls = if self.tls { "always" } else { "auto" },
            router = self.router,
            pool = self.pools()[0],
            service_pool = self.pools()[1],
            ranges = match self.network {
                Network::Wide => "",
                Network::Narrow => "app_prefix_length = 29\n",
            },
            prefix = self.prefix,
            registry = self.registry,
            refused = self.refused,
            busy = self.busy,
            // Where tests make their folders.
            repositories = std::env::temp_dir().display(),
        )
    }

    /// Two digits that nobody else on the machine has.
    pub(super) fn tag(&self) -> String {
        self.place.tag()
    }

    /// Both ends of a link to what is not on the platform.
    pub(super) fn link(&self, number: u8) -> (Ipv4Addr, Ipv4Addr) {
        self.place.link(number)
    }

    /// Of instances, and of component names.
    pub(super) fn pools(&self) -> [Ipv4Net; 2] {
        let pools = [self.place.pool(), self.place.service_pool()];
        match self.network {
            Network::Wide => pools,
            // A range each for the gateway, builds and two apps.
            Network::Narrow => {
                pools.map(|pool| Ipv4Net::new(pool.network(), 27).expect("27 is a prefix length"))
            }
        }
    }

    /// As a machine finds it when it starts.
    pub(super) fn empty_run_dir(&self) {
        let entries = fs::read_dir(self.run_dir()).expect("our own directory");
        for entry in entries.map(|entry| entry.expect("our own directory").path()) {
            let removed = if entry.is_dir() {
                fs::remove_dir_all(&entry)
            } else {
                fs::remove_file(&entry)
            };
            removed.unwrap_or_else(|error| panic!("{}: {error}", entry.display()));
        }
    }

    /// The kernel does not give itself another id: those that instances remember change instead.
    pub(super) fn pretend_another_boot(&self) {
        let instances = fs::read_dir(self.data_dir().join("engine/instances"));
        for instance in instances.into_iter().flatten().flatten() {
            let path = instance.path().join("instance.json");
            let Ok(text) = fs::read(&path) else { continue };
            let mut identity: Value = serde_json::from_slice(&text).expect("JSON");
            identity["boot"] = "00000000-0000-4000-8000-000000000000".into();
            fs::write(&path, identity.to_string()).expect("our own file");
        }
    }

    /// Nothing uses it any more.
    pub(super) fn unmount_disk(&mut self) {
        self.disk = None;
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn run_dir(&self) -> &Path {
        self.run.path()
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.root().join("data")
    }

    pub(super) fn images_dir(&self) -> PathBuf {
        self.data_dir().join("images")
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.root().join("config.toml")
    }
}

//! Names, networks, ports and directories that nobody else on the machine has.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use mainstay_testkit::Place;
use tempfile::TempDir;

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
    root: TempDir,
    /// Short: the paths of sockets have a limit.
    run: TempDir,
    place: Place,
}

impl Setup {
    /// `more` is added to the configuration.
    pub(super) fn make(more: &str, tls: bool) -> Self {
        let place = Place::claim();
        let temporary = |prefix: &str, parent: &Path| {
            tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(parent)
                .expect("root may write there")
        };
        let setup = Self {
            // What a killed test left behind is not taken for ours.
            name: format!("e2e{}p{}", place.tag(), std::process::id()),
            prefix: format!("x{}", place.tag()),
            api: place.address(0),
            tls,
            router: place.address(1),
            registry: place.address(2),
            refused: place.address(4),
            busy: place.address(5),
            root: temporary("mainstay-e2e-", &std::env::temp_dir()),
            run: temporary("ms-", Path::new("/run")),
            place,
        };
        // Instances' users have to pass through, as they do in /var/lib.
        let passage = fs::Permissions::from_mode(0o711);
        fs::set_permissions(setup.root(), passage).expect("our own directory");
        fs::create_dir_all(setup.images_dir()).expect("our own directory");
        let config = format!("{}{more}", setup.config());
        fs::write(setup.config_path(), config).expect("our own directory");
        setup
    }

    fn config(&self) -> String {
        format!(
            "name = '{name}'\ndata_dir = '{data}'\nrun_dir = '{run}'\n\
             [api]\nlisten = '{api}'\ntls = '{tls}'\n\
             [router]\nlisten = ['{router}']\n\
             [network]\npool = '{pool}'\nservice_pool = '{service_pool}'\nprefix = '{prefix}'\n\
             [sources]\nlocal_paths = ['{repositories}']\n\
             [registries.mirrors]\n'docker.io' = '{registry}'\n'refused.example' = '{refused}'\n'busy.example' = '{busy}'\n",
            name = self.name,
            data = self.data_dir().display(),
            run = self.run_dir().display(),
            api = self.api,
            tls = if self.tls { "always" } else { "auto" },
            router = self.router,
            pool = self.place.pool(),
            service_pool = self.place.service_pool(),
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
        [self.place.pool(), self.place.service_pool()]
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

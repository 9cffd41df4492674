//! Names, networks, ports and directories that nobody else on the machine has.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Pairs of /16 networks that a process may take, from 10.216.0.0 on.
const NETWORK_PAIRS: u32 = 16;
const FIRST_NETWORK: u32 = 216;

#[derive(Debug)]
pub(super) struct Setup {
    /// Of cgroups and the nft table.
    pub(super) name: String,
    /// Of devices.
    pub(super) prefix: String,
    pub(super) api: SocketAddr,
    pub(super) router: SocketAddr,
    /// Where Docker Hub's images come from, once a test starts a registry there.
    pub(super) registry: SocketAddr,
    root: TempDir,
    /// Short: the paths of sockets have a limit.
    run: TempDir,
}

impl Setup {
    /// `more` is added to the configuration.
    pub(super) fn make(more: &str) -> Self {
        let unique = base36(std::process::id());
        let temporary = |prefix: &str, parent: &Path| {
            tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(parent)
                .expect("root may write there")
        };
        let setup = Self {
            name: format!("e2e{unique}"),
            prefix: format!("x{unique}"),
            api: free_port(),
            router: free_port(),
            registry: free_port(),
            root: temporary("mainstay-e2e-", &std::env::temp_dir()),
            run: temporary("ms-", Path::new("/run")),
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
        let network = FIRST_NETWORK + std::process::id() % NETWORK_PAIRS * 2;
        format!(
            "name = '{name}'\ndata_dir = '{data}'\nrun_dir = '{run}'\n\
             [api]\nlisten = '{api}'\n\
             [router]\nlisten = ['{router}']\n\
             [network]\npool = '10.{network}.0.0/16'\nservice_pool = '10.{services}.0.0/16'\nprefix = '{prefix}'\n\
             [registries.mirrors]\n'docker.io' = '{registry}'\n",
            name = self.name,
            data = self.data_dir().display(),
            run = self.run_dir().display(),
            api = self.api,
            router = self.router,
            services = network + 1,
            prefix = self.prefix,
            registry = self.registry,
        )
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

/// Free when asked; nobody else is given it soon after.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it listens")
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(char::from_digit(number % 36, 36).expect("less than 36"));
        number /= 36;
    }
    digits.iter().rev().collect()
}

//! The stack image and the databases over it are made once and kept between runs: making it takes the better part of a minute.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use mainstay_images::{
    ImageStore,
    debian::{DebianError, packages_layer, postgresql_version},
    settings::OperatorSettings,
    stack,
};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::{Make, cache, run::run};

/// Packages of the databases of other engines, as the server asks for them.
const MYSQL: &[&str] = &["mariadb-server-core", "mariadb-client-core", "mariadb-client"];
const REDIS: &[&str] = &["redis-server"];

const COPIES_WITHIN: Duration = Duration::from_mins(2);

/// Gives an image store that has the stack to a platform that has none yet.
pub(super) fn provide(images: &Path) {
    // Several test processes may come here at once: one makes it, and none takes it away while another links it.
    let _lock = cache::lock("lock");
    let (cached, _) = cached();
    let mut command = Command::new("cp");
    command.args(["--archive", "--no-target-directory"]);
    // Files of layers and records are never changed in place, so that links will do, where there can be links.
    let device = |path: &Path| fs::metadata(path).expect("our own directory").dev();
    if device(&cached) == device(images) {
        command.arg("--link");
    }
    command.arg(&cached).arg(images);
    let _ = run(&mut command, COPIES_WITHIN).expect_success("cp");
    // A lock is held on the file, not on its name: linked, all platforms would share one.
    fs::remove_file(images.join("lock")).expect("an image store has a lock");
}

/// What the server of a database runs from, as the platform's own do.
#[derive(Debug, Clone)]
pub(crate) struct ServerImage {
    /// Of PostgreSQL: "15".
    pub(crate) version: String,
    /// The lowest first. They are shared: nothing may be written there.
    pub(crate) layers: Vec<PathBuf>,
}

/// The kept stack with a server over it.
pub(super) fn server_image(make: Make) -> ServerImage {
    let _lock = cache::lock("lock");
    let servers = cached().1;
    let [postgres, mysql, redis] = servers.expect("it is known which PostgreSQL the stack's Debian has");
    match make {
        Make::Postgres(_) => postgres,
        Make::Mysql => mysql,
        Make::Redis | Make::Valkey => redis,
    }
}

/// A store with nothing but these, made by the code under test: PostgreSQL, MySQL, Redis.
fn cached() -> (PathBuf, Option<[ServerImage; 3]>) {
    let name = format!("images-{}", fingerprint());
    // Stores of earlier sources, which nobody used for long; another checkout may still be at them.
    cache::forget_others("images-", &name);
    let store_path = cache::path(&name);
    let store = ImageStore::open(&store_path).unwrap_or_else(|error| panic!("the kept image store: {error}"));
    let settings = OperatorSettings::from_environment();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
    let made = runtime.block_on(async {
        let stack = stack::ensure(&store, &settings, |line| eprintln!("{line}")).await?;
        // As the server asks for it.
        let Some(version) = postgresql_version(&stack.suite) else {
            return Ok(None);
        };
        let package = format!("postgresql-{version}");
        let image = async |packages: &[&str]| {
            let server = packages_layer(&store, &settings, &stack, packages).await?;
            let layers = stack.run.layers.iter().chain([&server]);
            let paths = layers.map(|layer| store.layer_path(layer).expect("it was made"));
            Ok::<_, DebianError>(ServerImage {
                version: version.to_owned(),
                layers: paths.collect(),
            })
        };
        Ok::<_, DebianError>(Some([
            image(&[&package]).await?,
            image(MYSQL).await?,
            image(REDIS).await?,
        ]))
    });
    let images = made.unwrap_or_else(|error| panic!("the stack image cannot be made: {error:?}"));
    cache::note_use(&store_path);
    (store_path, images)
}

/// Of the sources that decide how a store looks and what a stack has.
fn fingerprint() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/images/src");
    let mut hash = Sha256::new();
    for entry in WalkDir::new(sources)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
    {
        if entry.file_type().is_file() {
            hash.update(fs::read(entry.path()).unwrap_or_default());
        }
    }
    data_encoding::HEXLOWER.encode(&hash.finalize()[..6])
}

//! Our engine in this process, as the server has it in its own, with a prefix, a network and directories of its own.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use mainstay_engine::{
    Engine, InstanceOwner, InstanceSpec, Limits, Network,
    local::{LocalConfig, LocalEngine, network::NetworkConfig},
};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use mainstay_testkit::Place;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Programs;

/// What differs from case to case.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) network: Network,
    pub(super) disk_bytes: Option<u64>,
}

/// Since the wish.
#[derive(Debug)]
pub(super) struct Took {
    pub(super) running: Duration,
    pub(super) ended: Duration,
    pub(super) removed: Duration,
}

/// Dropping it removes what it made.
pub(super) struct OurEngine {
    runtime: Runtime,
    engine: LocalEngine,
    app: AppId,
    layer: PathBuf,
    run_dir: PathBuf,
    _data: TempDir,
    _place: Place,
    _programs: Programs,
}

impl OurEngine {
    pub(super) fn open() -> Self {
        let programs = super::super::programs();
        let data = tempfile::Builder::new()
            .prefix("mainstay-bench-engine-")
            .tempdir();
        let data = data.expect("the temporary directory is writable");
        let place = Place::claim();
        let prefix = format!("msbench{}", place.tag());
        let run_dir = PathBuf::from("/run").join(&prefix);
        let network = NetworkConfig {
            prefix: format!("msb{}", place.tag()),
            table: prefix.clone(),
            pool: place.pool(),
            service_pool: place.service_pool(),
            ..NetworkConfig::new(data.path().join("network.json"))
        };
        let config = LocalConfig {
            network: Some(network),
            // Apart from an installation's, and from those of the engine's tests.
            id_range: 2_100_000_000..2_100_000_000 + 65536,
            ..LocalConfig::new(
                &prefix,
                data.path().to_owned(),
                run_dir.clone(),
                programs.directory().to_owned(),
            )
        };
        let runtime = Runtime::new().expect("threads can be made");
        let engine = runtime
            .block_on(LocalEngine::open(config))
            .expect("the engine opens");
        let app = AppId::from_uuid(Uuid::new_v4());
        let layer = mainstay_testkit::busybox_layer();
        let ours = Self {
            runtime,
            engine,
            app,
            layer,
            run_dir,
            _data: data,
            _place: place,
            _programs: programs,
        };
        ours.runtime
            .block_on(ours.engine.ensure_network(app))
            .expect("the app's network can be made");
        ours
    }

    pub(super) fn start_to_exit(&self, wish: &Wish) -> Took {
        self.runtime.block_on(self.run(wish)).expect("/bin/true runs")
    }

    async fn run(&self, wish: &Wish) -> Result<Took, Box<dyn std::error::Error>> {
        let spec = self.spec(wish);
        let id = spec.id;
        let began = Instant::now();
        self.engine.start(spec).await?;
        let running = began.elapsed();
        self.engine.wait(id).await?;
        let ended = began.elapsed();
        self.engine.remove(id).await?;
        let removed = began.elapsed();
        self.engine.forget(id).await?;
        Ok(Took {
            running,
            ended,
            removed,
        })
    }

    fn spec(&self, wish: &Wish) -> InstanceSpec {
        InstanceSpec {
            id: InstanceId::from_uuid(Uuid::new_v4()),
            owner: InstanceOwner::Component {
                app: self.app,
                deployment: DeploymentId::from_uuid(Uuid::nil()),
                component: "bench".to_owned(),
                ordinal: 0,
            },
            layers: vec![self.layer.clone()],
            mounts: Vec::new(),
            argv: vec!["/bin/true".to_owned()],
            env: BTreeMap::new(),
            working_dir: "/".to_owned(),
            user: None,
            hostname: "bench-0".to_owned(),
            limits: Limits {
                memory_bytes: 512 << 20,
                cpu_millis: 1000,
                cpu_shares: 1024,
                pids: 2048,
                disk_bytes: wish.disk_bytes,
            },
            network: wish.network,
            stop_signal: 15,
        }
    }
}

impl Drop for OurEngine {
    fn drop(&mut self) {
        let removed = self.runtime.block_on(async {
            self.engine.sweep(&HashSet::new(), &HashSet::new()).await?;
            self.engine.remove_networks().await
        });
        if let Err(error) = removed {
            eprintln!("taking the engine down: {error}");
        }
        drop(fs::remove_dir_all(&self.run_dir));
    }
}

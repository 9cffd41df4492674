//! The start of an instance: directories, spec, shim, network, go.

use std::{
    net::Ipv4Addr, os::unix::fs::DirBuilderExt, path::Path, process::Stdio, sync::Arc, time::Duration,
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{ExecFault, ExecFaultKind};
use mainstay_images::{store::HeldCopy, tree::LayerTree};
use mainstay_shim::{
    files::{self, Durability},
    protocol::{InstanceState, Reply, Request},
    spec::{ProcessSpec, SPEC_FILE, ShimSpec},
};
use tokio::{process::Command, time::timeout};

use crate::api::{EngineError, InstanceOwner, InstanceSpec, InstanceStatus, StartError};

use super::{
    Inner,
    config::Places,
    environment,
    instance::{self, Identity, Instance, Life},
    lost, owners, refusal,
    shim_client::{ShimConnection, ShimError},
    users,
};

/// Detaching takes milliseconds; a machine that is swapping may need longer.
const SPAWN_DEADLINE: Duration = Duration::from_secs(30);

/// Mounting and creating: tens of milliseconds, unless the disk is very busy.
const CREATE_DEADLINE: Duration = Duration::from_secs(90);

/// The runtime's start and the report of init.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// Starts it, or joins another start of the same instance, or returns what already is.
pub(super) async fn start(inner: &Arc<Inner>, spec: InstanceSpec) -> Result<InstanceStatus, StartError> {
    let identity = Identity {
        id: spec.id,
        owner: spec.owner.clone(),
        network: spec.network,
        asked_at: Timestamp::now(),
        boot: instance::current_boot(),
    };
    let (instance, mine) = inner.enter(identity);
    if !mine {
        instance.settled().await;
        let failed =
            || StartError::Engine(EngineError::plain(format!("another start of {} failed", spec.id)));
        return instance.status().ok_or_else(failed);
    }
    // A caller that gives up must not leave half an instance behind.
    let task = tokio::spawn(start_new(inner.clone(), instance, spec));
    task.await
        .map_err(EngineError::during("run the start of an instance"))
        .map_err(StartError::Engine)?
}

async fn start_new(
    inner: Arc<Inner>,
    instance: Arc<Instance>,
    spec: InstanceSpec,
) -> Result<InstanceStatus, StartError> {
    let places = inner.config.places(spec.id);
    match launch(&inner, &instance.identity, &spec, &places).await {
        Ok((state, connection)) => {
            instance::follow(inner, instance.clone(), state, connection);
            let status = instance.status();
            Ok(status.expect("an instance that is followed has a status"))
        }
        Err(error) => {
            take_back(&inner, &instance, &places).await;
            Err(error)
        }
    }
}

/// A shim takes its own work back; what is left is ours. Not one that still runs is left behind: the cgroup is emptied too.
async fn take_back(inner: &Inner, instance: &Instance, places: &Places) {
    inner.detach_network(&instance.identity).await;
    let cgroup = inner.cgroup(&instance.identity);
    let directories = [places.run.clone(), places.data.clone()];
    let cleaned = tokio::task::spawn_blocking(move || {
        if let Err(error) = lost::end(&cgroup) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a failed start left a cgroup"
            );
        }
        lost::give_back(&directories[0]);
        for directory in directories {
            if let Err(error) = lost::remove_directory(&directory) {
                tracing::error!(%error, directory = %directory.display(), "a failed start left a directory");
            }
        }
    });
    let _ = cleaned.await;
    inner.leave(instance.identity.id);
    instance.life.send_replace(Life::Failed);
}

async fn launch(
    inner: &Arc<Inner>,
    identity: &Identity,
    spec: &InstanceSpec,
    places: &Places,
) -> Result<(InstanceState, ShimConnection), StartError> {
    let (shim_spec, held) = shim_spec(inner, identity, spec, places).await?;
    prepare_directories(places, identity, &shim_spec).map_err(StartError::Engine)?;
    let kept = keep_identity(places, durability(identity));
    spawn_shim(&inner.config.shim(), &places.run)
        .await
        .map_err(StartError::Engine)?;
    let failed = |operation: &str| {
        let operation = format!("{operation} the instance {}", spec.id);
        move |error: ShimError| StartError::Engine(EngineError::during(operation)(error))
    };
    let mut connection = ShimConnection::open(&places.socket())
        .await
        .map_err(failed("reach the shim of"))?;
    let reply = connection
        .ask(&Request::Create, CREATE_DEADLINE)
        .await
        .map_err(failed("create"))?;
    let Reply::Created { pid } = reply else {
        return Err(failed("create")(ShimError::Unexpected(Box::new(reply))));
    };
    // The shim has its own locks now.
    drop(held);
    let (address, hosts) = attach(inner, identity, spec, pid)
        .await
        .map_err(StartError::Engine)?;
    kept.await.map_err(StartError::Engine)?;
    let request = Request::Start { address, hosts };
    match connection
        .ask(&request, START_DEADLINE)
        .await
        .map_err(failed("start"))?
    {
        Reply::Started(state) => Ok((state, connection)),
        Reply::Refused(refused) => {
            connection.gone().await;
            let fault = refusal::explain(spec, refused)
                .await
                .map_err(StartError::Engine)?;
            Err(StartError::Refused(Box::new(fault)))
        }
        other => Err(failed("start")(ShimError::Unexpected(Box::new(other)))),
    }
}

/// The spec, and the locks on what it names, which the shim takes over.
async fn shim_spec(
    inner: &Arc<Inner>,
    identity: &Identity,
    spec: &InstanceSpec,
    places: &Places,
) -> Result<(ShimSpec, Vec<HeldCopy>), StartError> {
    if spec.argv.is_empty() {
        let looked_for = Vec::new();
        return Err(refuse(spec, ExecFaultKind::NoRunCommand { looked_for }));
    }
    let tree = LayerTree::new(&spec.layers);
    let user = users::look_up(&tree, spec.user.as_deref())
        .map_err(EngineError::during(format!(
            "look up the user of the instance {}",
            spec.id
        )))
        .map_err(StartError::Engine)?
        .map_err(|unknown| refuse(spec, ExecFaultKind::UserUnknown { user: unknown.0 }))?;
    let id_base = inner.id_base(identity.app()).map_err(StartError::Engine)?;
    let resolv_conf = inner
        .resolv_conf(spec.network)
        .await
        .map_err(StartError::Engine)?;
    let files = owners::settle(inner, spec, id_base, places)
        .await
        .map_err(StartError::Engine)?;
    let shim_spec = ShimSpec {
        instance: spec.id.to_string(),
        container_id: inner.config.container_id(spec.id),
        data_dir: places.data.clone(),
        disk_templates: inner.config.disk_templates(),
        runtime: inner.config.runtime.clone(),
        init: inner.config.init(),
        cgroup_root: inner.config.cgroup_root.clone(),
        cgroup_path: inner.config.cgroup_path(identity.app(), spec.id),
        id_base,
        owners: files.owners,
        layers: files.layers,
        mounts: files.mounts,
        held: files.held.iter().map(|held| held.copy.clone()).collect(),
        process: ProcessSpec {
            argv: spec.argv.clone(),
            env: environment::complete(&spec.env, &user.home, &spec.hostname),
            working_dir: environment::working_dir(&spec.working_dir).to_owned(),
            uid: user.uid,
            gid: user.gid,
            additional_gids: user.additional_gids,
        },
        hostname: spec.hostname.clone(),
        limits: spec.limits,
        stop_signal: spec.stop_signal,
        resolv_conf,
        log: inner.config.log,
        record: durability(identity),
    };
    Ok((shim_spec, files.held))
}

/// A build that a power cut ended is begun again: nobody asks for its steps.
fn durability(identity: &Identity) -> Durability {
    if matches!(identity.owner, InstanceOwner::BuildStep { .. }) {
        Durability::Process
    } else {
        Durability::PowerCut
    }
}

fn refuse(spec: &InstanceSpec, kind: ExecFaultKind) -> StartError {
    StartError::Refused(Box::new(ExecFault {
        argv: spec.argv.clone(),
        kind,
        resolved_path: None,
        errno: None,
        search_path: None,
        close_matches: Vec::new(),
        preflight: true,
    }))
}

fn prepare_directories(places: &Places, identity: &Identity, spec: &ShimSpec) -> Result<(), EngineError> {
    let make = |directory: &Path, mode: u32| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
            .map_err(EngineError::during(format!("create {}", directory.display())))
    };
    let keep = EngineError::during::<files::FileError>;
    make(&places.log(), 0o700)?;
    // The instance's root user passes through it to reach its root file system.
    make(&places.run, 0o711)?;
    files::write_json(&places.identity(), identity, Durability::Process)
        .map_err(keep("keep whose instance it is"))?;
    files::write_json(&places.run.join(SPEC_FILE), spec, Durability::Process)
        .map_err(keep("write the spec of a shim"))
}

/// Begins to make the identity survive a power cut, and gives what waits for that: nothing of the instance runs before.
fn keep_identity(
    places: &Places,
    durability: Durability,
) -> impl Future<Output = Result<(), EngineError>> + use<> {
    let path = places.identity();
    let synced = (durability == Durability::PowerCut)
        .then(|| tokio::task::spawn_blocking(move || files::sync_new(&path)));
    async move {
        let failed = || "keep whose instance it is";
        match synced {
            Some(synced) => synced
                .await
                .map_err(EngineError::during(failed()))?
                .map_err(EngineError::during(failed())),
            None => Ok(()),
        }
    }
}

/// Returns when the shim listens and is nobody's child.
async fn spawn_shim(program: &Path, run_dir: &Path) -> Result<(), EngineError> {
    let operation = || format!("start the shim in {}", run_dir.display());
    let child = Command::new(program)
        .arg(run_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(EngineError::during(operation()))?;
    let output = timeout(SPAWN_DEADLINE, child.wait_with_output())
        .await
        .map_err(EngineError::during(operation()))?
        .map_err(EngineError::during(operation()))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(EngineError::during(operation())(message))
}

async fn attach(
    inner: &Inner,
    identity: &Identity,
    spec: &InstanceSpec,
    pid: i32,
) -> Result<(Option<Ipv4Addr>, String), EngineError> {
    inner.attach_network(identity, &spec.hostname, pid).await
}

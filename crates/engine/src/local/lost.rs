//! An instance whose shim is gone without a record: somebody killed the shim, or the machine went down. Nobody holds its output or its
//! status any more, so it is ended, and the record says that its end is not known.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{Course, ExitRecord, MemoryKill, MemoryRecord, StopReason, StopRecord};
use mainstay_shim::{
    cgroup::{Cgroup, CgroupError},
    files::{self, COPIES_DIRECTORY, Durability, WRITABLE_DIRECTORY},
    owners,
    protocol::InstanceState,
    spec::{SPEC_FILE, ShimSpec},
};

use super::{Inner, config::Places, instance::Identity};

const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Takes the record if there is one after all; otherwise ends what is left and writes one.
pub(super) async fn settle(inner: &Inner, identity: &Identity, state: Option<&InstanceState>) -> ExitRecord {
    let places = inner.config.places(identity.id);
    if let Ok(Some(exit)) = files::read_json::<ExitRecord>(&places.exit_record()) {
        return exit;
    }
    let cgroup = inner.cgroup(identity);
    // Nobody is left to say when exactly. That it ran for long has to be known: its end is then no part of an older trouble, and what
    // a machine that went off took down is back at once.
    let started_at = Some(state.map_or(identity.asked_at, |state| state.started_at));
    let stop = identity.is_of_an_earlier_boot().then(machine_restarted);
    let exit = tokio::task::spawn_blocking(move || {
        // Before the removal, for then the counters are gone.
        let exit = ExitRecord {
            stop,
            ..record(&cgroup, started_at)
        };
        if let Err(error) = end(&cgroup) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an instance without a shim could not be ended"
            );
        }
        give_back(&places.run);
        for directory in remains(&places) {
            if let Err(error) = remove_directory(&directory) {
                tracing::error!(%error, directory = %directory.display(), "cannot remove what a shim left behind");
            }
        }
        if let Err(error) = files::write_json(&places.exit_record(), &exit, Durability::PowerCut) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the exit record is only in memory"
            );
        }
        exit
    });
    exit.await.unwrap_or_else(|_| unknown_end(started_at))
}

/// What there is besides log and record.
pub(super) fn remains(places: &Places) -> [PathBuf; 3] {
    [
        places.data.join(WRITABLE_DIRECTORY),
        places.data.join(COPIES_DIRECTORY),
        places.run.clone(),
    ]
}

/// What a shim does at the end of its instance, unless it was killed: what the instance wrote gets the owners that it saw. No process
/// of the instance may be left.
pub(super) fn give_back(run_dir: &Path) {
    let Ok(Some(spec)) = files::read_json::<ShimSpec>(&run_dir.join(SPEC_FILE)) else {
        return;
    };
    for error in owners::give_back(&spec) {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "an instance's files were not given back"
        );
    }
}

/// Kills everything and removes the cgroup; with the last process the mounts go.
pub(super) fn end(cgroup: &Cgroup) -> Result<(), CgroupError> {
    cgroup.kill_all(KILL_DEADLINE)?;
    cgroup.remove()
}

pub(super) fn remove_directory(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn record(cgroup: &Cgroup, started_at: Option<Timestamp>) -> ExitRecord {
    let usage = cgroup.usage();
    let kill = MemoryKill {
        at: Timestamp::now(),
        main_process: None,
        process: None,
    };
    let kills = usize::try_from(usage.memory_kills.min(100)).unwrap_or(100);
    ExitRecord {
        memory: MemoryRecord {
            limit_bytes: usage.memory_limit_bytes,
            peak_bytes: usage.memory_peak_bytes,
            kills: vec![kill; kills],
        },
        cpu_usage_micros: usage.cpu_usage_micros,
        cpu_throttled_micros: usage.cpu_throttled_micros,
        pids_limit_hits: usage.pids_limit_hits,
        ..unknown_end(started_at)
    }
}

fn machine_restarted() -> StopRecord {
    StopRecord {
        reason: StopReason::MachineRestarted,
        asked_at: Timestamp::now(),
        grace_period_seconds: 0,
        killed_at: None,
    }
}

fn unknown_end(started_at: Option<Timestamp>) -> ExitRecord {
    ExitRecord {
        termination: None,
        started_at,
        ended_at: Timestamp::now(),
        stop: None,
        memory: MemoryRecord::default(),
        cpu_usage_micros: None,
        cpu_throttled_micros: None,
        pids_limit_hits: None,
        exec_fault: None,
        course: Course::default(),
    }
}

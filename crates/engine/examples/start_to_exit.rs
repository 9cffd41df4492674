//! Measures an instance of `/bin/true` from the call of `start` to its record, to its removal, and what a shim holds in memory.
//!
//! `cargo run --release -p mainstay-engine --example start_to_exit -- <directory with mainstay-shim and mainstay-init> [runs]`

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use mainstay_diagnosis::facts::StopReason;
use mainstay_engine::{
    Engine, InstanceOwner, InstanceSpec, Limits, Network,
    local::{LocalConfig, LocalEngine},
};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let bin_dir = PathBuf::from(arguments.next().expect("a directory with the two programs"));
    let runs = arguments.next().map_or(20, |runs| runs.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let prefix = format!("msbench-{}", std::process::id());
    let run_dir = PathBuf::from("/run").join(&prefix);
    let config = LocalConfig {
        network: None,
        id_range: 2_100_000_000..2_100_000_000 + 65536,
        ..LocalConfig::new(&prefix, data.path().to_owned(), run_dir.clone(), bin_dir)
    };
    let engine = LocalEngine::open(config).await.unwrap();
    for disk_bytes in [None, Some(2 << 30)] {
        measure(&engine, runs, disk_bytes).await;
    }
    shim_memory(&engine, &run_dir).await;
    engine.sweep(&HashSet::new(), &HashSet::new()).await.unwrap();
    fs::remove_dir_all(run_dir).unwrap();
}

async fn measure(engine: &LocalEngine, runs: usize, disk_bytes: Option<u64>) {
    let (mut running, mut ended, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let spec = spec(&["/bin/true"], disk_bytes);
        let id = spec.id;
        let began = Instant::now();
        engine.start(spec).await.unwrap();
        running.push(began.elapsed());
        engine.wait(id).await.unwrap();
        ended.push(began.elapsed());
        engine.remove(id).await.unwrap();
        removed.push(began.elapsed());
        engine.forget(id).await.unwrap();
    }
    println!(
        "disk limit {}: running {}, ended {}, removed {}",
        disk_bytes.is_some(),
        summary(running),
        summary(ended),
        summary(removed)
    );
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (median, least, most) = (times[times.len() / 2], times[0], times[times.len() - 1]);
    format!("{:.0} ms ({:.0}-{:.0})", ms(median), ms(least), ms(most))
}

/// Of a shim whose instance has been running quietly.
async fn shim_memory(engine: &LocalEngine, run_dir: &std::path::Path) {
    let spec = spec(&["/bin/sleep", "1000"], None);
    let id = spec.id;
    engine.start(spec).await.unwrap();
    let socket_dir = run_dir.join(id.short()).to_string_lossy().into_owned();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&socket_dir) {
            let rollup = fs::read_to_string(entry.path().join("smaps_rollup")).unwrap();
            let wanted = ["Rss:", "Pss:", "Private_Dirty:", "Private_Clean:"];
            for line in rollup
                .lines()
                .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
            {
                println!(
                    "shim {}",
                    line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
                );
            }
        }
    }
    engine
        .stop(id, StopReason::Requested, Duration::ZERO)
        .await
        .unwrap();
    engine.remove(id).await.unwrap();
}

fn spec(argv: &[&str], disk_bytes: Option<u64>) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId::from_uuid(Uuid::new_v4()),
        owner: InstanceOwner::Component {
            app: AppId::from_uuid(Uuid::nil()),
            deployment: DeploymentId::from_uuid(Uuid::nil()),
            component: "bench".to_owned(),
            ordinal: 0,
        },
        layers: vec![mainstay_testkit::busybox_layer()],
        mounts: Vec::new(),
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        env: BTreeMap::new(),
        working_dir: "/".to_owned(),
        user: None,
        hostname: "bench-0".to_owned(),
        limits: Limits {
            memory_bytes: 512 << 20,
            cpu_millis: 1000,
            cpu_shares: 1024,
            pids: 256,
            disk_bytes,
        },
        network: Network::None,
        stop_signal: 15,
    }
}

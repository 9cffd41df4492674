//! The router beside nginx as a proxy, in one run: CPU per request and latency, 1 KB and 1 MB answers, one core each.
//!
//! `cargo bench --profile router -p mainstay-router --bench against_nginx [-- --rounds N --seconds N --check --results FILE]`; needs `nginx`, `wrk` and `taskset`, and
//! two cores: the proxy has the first one, visitors and the app share the second one. Both proxies take turns, and medians are
//! compared, because other work on the machine moves both. The router runs in full: access log, request ids, counters.
//! With `--check` it fails where a ratio is more than a tenth above its target; with `--results` the numbers are also written down as JSON.

#![expect(clippy::print_stdout, reason = "the numbers are the product")]

use std::{fs, io, path::PathBuf, process::ExitCode};

mod app;
mod proxy;
mod results;
mod visitors;

use mainstay_testkit::Place;
use proxy::Proxy;
use visitors::Sample;

/// What is asked for, by how many visitors, and how much CPU it may cost in proportion to nginx.
struct Cell {
    name: &'static str,
    path: &'static str,
    connections: u32,
    target: f64,
}

const CELLS: [Cell; 2] = [
    Cell {
        name: "1 KB",
        path: "/1k",
        connections: 64,
        target: 1.0,
    },
    Cell {
        name: "1 MB",
        path: "/1m",
        connections: 16,
        target: 0.7,
    },
];
/// About the noise of one run.
const TOLERANCE: f64 = 1.1;

struct Options {
    rounds: usize,
    seconds: u32,
    check: bool,
    results: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&options()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the bench could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Options {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    Options {
        rounds: number("--rounds").unwrap_or(9) as usize,
        seconds: number("--seconds").unwrap_or(2),
        check: arguments.iter().any(|argument| argument == "--check"),
        results: value("--results").map(PathBuf::from),
    }
}

fn run(options: &Options) -> io::Result<bool> {
    visitors::pin_to_second_core()?;
    let app = app::start()?;
    let (place, directory) = (Place::claim(), tempfile::tempdir()?);
    let proxies = [
        Proxy::nginx(directory.path(), place.address(0), app)?,
        Proxy::router(directory.path(), place.address(1), app)?,
    ];
    println!(
        "CPU per request in µs, median of {} rounds of {} s; p99 in ms\n",
        options.rounds, options.seconds
    );
    println!("| answer | nginx µs | router µs | ratio | target | nginx rps · p99 | router rps · p99 |");
    println!("|---|---|---|---|---|---|---|");
    let (mut within, mut measured) = (true, Vec::new());
    for cell in &CELLS {
        let [nginx, router] = measure(cell, &proxies, options)?;
        let ratio = router.cpu_us / nginx.cpu_us;
        within &= ratio <= cell.target * TOLERANCE;
        println!(
            "| {} | {:.1} | {:.1} | **{ratio:.2}** | ≤ {:.2} | {:.0} · {:.2} | {:.0} · {:.2} |",
            cell.name,
            nginx.cpu_us,
            router.cpu_us,
            cell.target,
            nginx.rps,
            nginx.p99_ms,
            router.rps,
            router.p99_ms
        );
        measured.extend(results::of_cell(cell, nginx, router));
    }
    for proxy in &proxies {
        println!(
            "\n{}: {:.1} MB resident (proportional) after the run",
            proxy.name,
            proxy.memory_mb()
        );
    }
    measured.push(results::memory(&proxies));
    if let Some(path) = &options.results {
        fs::write(path, serde_json::to_string(&measured)?)?;
    }
    Ok(within || !options.check)
}

/// Both proxies in turn, the order reversed every second round.
fn measure(cell: &Cell, proxies: &[Proxy; 2], options: &Options) -> io::Result<[Sample; 2]> {
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    for proxy in proxies {
        visitors::load(proxy, cell.path, cell.connections, 1)?;
    }
    for round in 0..options.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            samples[index].push(visitors::load(
                &proxies[index],
                cell.path,
                cell.connections,
                options.seconds,
            )?);
        }
    }
    Ok(samples.map(|samples| median(&samples)))
}

fn median(samples: &[Sample]) -> Sample {
    let middle = |value: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Sample {
        cpu_us: middle(|sample| sample.cpu_us),
        rps: middle(|sample| sample.rps),
        p99_ms: middle(|sample| sample.p99_ms),
    }
}

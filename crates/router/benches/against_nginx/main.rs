//! The router beside nginx in one run, one core each: CPU per request and latency of 1 KB and 1 MB answers, both of an app behind the
//! proxy and of files that the proxy sends itself, and of connections for one request; memory with nothing to do and per idle connection.
//!
//! `cargo bench --profile router -p mainstay-router --bench against_nginx [-- --rounds N --seconds N --check --results FILE]`; needs
//! `nginx`, `wrk` and `taskset`, and two cores: the proxy has the first one, visitors and the app share the second one. Both proxies
//! take turns, and medians are compared, because other work on the machine moves both. The router runs in full: access log, request
//! ids, counters, a thousand hosts.
//! With `--check` it fails where a ratio is more than a tenth above its target; with `--results` the numbers are also written down as JSON.

#![expect(clippy::print_stdout, reason = "the numbers are the product")]

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf, process::ExitCode};

mod app;
mod idle;
mod proxy;
mod results;
mod visitors;

use mainstay_testkit::Place;
use proxy::{Behind, Proxy};
use results::Measured;
use visitors::Sample;

/// What is asked for, by how many visitors, and how much CPU it may cost in proportion to nginx.
struct Cell {
    name: &'static str,
    path: &'static str,
    header: Option<&'static str>,
    connections: u32,
    target: f64,
}

/// nginx sends files by `sendfile`, without copying them; the router copies.
const CELLS: [Cell; 5] = [
    Cell {
        name: "1 KB",
        path: "/1k",
        header: None,
        connections: 64,
        target: 1.0,
    },
    Cell {
        name: "1 MB",
        path: "/1m",
        header: None,
        connections: 16,
        target: 0.7,
    },
    Cell {
        name: "1 KB by a new connection",
        path: "/1k",
        header: Some("Connection: close"),
        connections: 64,
        target: 1.25,
    },
    Cell {
        name: "a 1 KB file",
        path: "/files/1k",
        header: None,
        connections: 64,
        target: 1.3,
    },
    Cell {
        name: "a 1 MB file",
        path: "/files/1m",
        header: None,
        connections: 16,
        target: 1.5,
    },
];

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
        rounds: number("--rounds").unwrap_or(7) as usize,
        seconds: number("--seconds").unwrap_or(2),
        check: arguments.iter().any(|argument| argument == "--check"),
        results: value("--results").map(PathBuf::from),
    }
}

fn run(options: &Options) -> io::Result<bool> {
    visitors::pin_to_second_core()?;
    // Workers of nginx are another user.
    let directory = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    let (place, behind) = (Place::claim(), Behind::prepare(directory.path())?);
    let mut memory = Vec::from(idle::measure(directory.path(), &place, &behind)?);
    let proxies = [
        Proxy::nginx(&directory.path().join("busy"), place.address(0), &behind)?,
        Proxy::router(&directory.path().join("busy"), place.address(1), &behind)?,
    ];
    println!(
        "CPU per request in µs, median of {} rounds of {} s; p99 in ms\n",
        options.rounds, options.seconds
    );
    println!("| answer | nginx µs | router µs | ratio | target | nginx rps · p99 | router rps · p99 |");
    println!("|---|---|---|---|---|---|---|");
    let mut measured = Vec::new();
    for cell in &CELLS {
        let [nginx, router] = measure(cell, &proxies, options)?;
        println!(
            "| {} | {:.1} | {:.1} | **{:.2}** | ≤ {:.2} | {:.0} · {:.2} | {:.0} · {:.2} |",
            cell.name,
            nginx.cpu_us,
            router.cpu_us,
            router.cpu_us / nginx.cpu_us,
            cell.target,
            nginx.rps,
            nginx.p99_ms,
            router.rps,
            router.p99_ms
        );
        measured.extend(results::of_cell(cell, nginx, router));
    }
    memory.push(results::memory(&proxies));
    println!();
    for line in &memory {
        println!("{line}");
    }
    measured.extend(memory);
    if let Some(path) = &options.results {
        fs::write(path, serde_json::to_string(&measured)?)?;
    }
    Ok(!options.check || measured.iter().all(Measured::is_within))
}

/// Both proxies in turn, the order reversed every second round.
fn measure(cell: &Cell, proxies: &[Proxy; 2], options: &Options) -> io::Result<[Sample; 2]> {
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    for proxy in proxies {
        visitors::load(proxy, cell, 1)?;
    }
    for round in 0..options.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            samples[index].push(visitors::load(&proxies[index], cell, options.seconds)?);
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

//! Load from the second core, by `wrk`.

use std::{io, process::Command};

use super::{Cell, proxy::Proxy};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) cpu_us: f64,
    pub(crate) rps: f64,
    pub(crate) p99_ms: f64,
}

/// This process, its threads to come and the load program.
pub(crate) fn pin_to_second_core() -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(1);
    rustix::thread::sched_setaffinity(None, &cores).map_err(Into::into)
}

pub(crate) fn load(proxy: &Proxy, cell: &Cell, seconds: u32) -> io::Result<Sample> {
    let before = proxy.cpu();
    let output = Command::new("wrk")
        .args([
            "-t",
            "1",
            "-c",
            &cell.connections.to_string(),
            "-d",
            &format!("{seconds}s"),
            "--latency",
        ])
        .args(["-H", "Host: app-500.localhost"])
        .args(cell.header.into_iter().flat_map(|header| ["-H", header]))
        .arg(format!("http://{}{}", proxy.address, cell.path))
        .output()?;
    let cpu = proxy.cpu().saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    sample(&text, cpu, seconds).ok_or_else(|| {
        io::Error::other(format!(
            "wrk against {} said: {text}{}",
            proxy.name,
            String::from_utf8_lossy(&output.stderr)
        ))
    })
}

fn sample(text: &str, cpu: std::time::Duration, seconds: u32) -> Option<Sample> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let requests: f64 = text
        .lines()
        .find_map(|line| line.split_once(" requests in")?.0.trim().parse().ok())?;
    let p99 = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("99%"))?
        .trim();
    Some(Sample {
        cpu_us: cpu.as_secs_f64() * 1e6 / requests,
        rps: requests / f64::from(seconds),
        p99_ms: milliseconds(p99)?,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

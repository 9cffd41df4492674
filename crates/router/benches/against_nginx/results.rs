//! The numbers for a program that puts them beside others.

use std::fmt;

use serde::Serialize;

use super::{Cell, proxy::Proxy, visitors::Sample};

/// About the noise of one run.
const TOLERANCE: f64 = 1.1;

#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) router: f64,
    pub(crate) nginx: f64,
    pub(crate) target: Target,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At most, of the router's to nginx's.
    Ratio(f64),
    /// At most, of the router's, in the unit.
    Most(f64),
    None,
}

impl Measured {
    pub(crate) fn ratio(&self) -> f64 {
        self.router / self.nginx
    }

    pub(crate) fn is_within(&self) -> bool {
        match self.target {
            Target::Ratio(most) => self.ratio() <= most * TOLERANCE,
            Target::Most(most) => self.router <= most * TOLERANCE,
            Target::None => true,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, .. } = self;
        write!(
            f,
            "{name}: nginx {:.1} {unit}, router {:.1} {unit}",
            self.nginx, self.router
        )?;
        match self.target {
            Target::Ratio(most) => write!(f, ", ratio {:.2} (≤ {most:.2})", self.ratio()),
            Target::Most(most) => write!(f, " (≤ {most:.0} {unit})"),
            Target::None => Ok(()),
        }
    }
}

pub(crate) fn of_cell(cell: &Cell, nginx: Sample, router: Sample) -> [Measured; 2] {
    let cpu = Measured {
        name: format!("CPU per request of {}", cell.name),
        unit: "µs",
        router: router.cpu_us,
        nginx: nginx.cpu_us,
        target: Target::Ratio(cell.target),
    };
    let p99 = Measured {
        name: format!("p99 of {} at full load", cell.name),
        unit: "ms",
        router: router.p99_ms,
        nginx: nginx.p99_ms,
        target: Target::None,
    };
    [cpu, p99]
}

/// Of nginx, then the router.
pub(crate) fn memory([nginx, router]: &[Proxy; 2]) -> Measured {
    Measured {
        name: "memory after the load".into(),
        unit: "MB",
        router: router.memory_kb() / 1024.0,
        nginx: nginx.memory_kb() / 1024.0,
        target: Target::None,
    }
}

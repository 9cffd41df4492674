//! The numbers for a program that puts them beside others.

use serde::Serialize;

use super::{Cell, proxy::Proxy, visitors::Sample};

#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    name: String,
    unit: &'static str,
    router: f64,
    nginx: f64,
    /// At most, of the router's to nginx's.
    target_ratio: Option<f64>,
}

pub(crate) fn of_cell(cell: &Cell, nginx: Sample, router: Sample) -> [Measured; 2] {
    let cpu = Measured {
        name: format!("CPU per request of {}", cell.name),
        unit: "µs",
        router: router.cpu_us,
        nginx: nginx.cpu_us,
        target_ratio: Some(cell.target),
    };
    let p99 = Measured {
        name: format!("p99 of {} at full load", cell.name),
        unit: "ms",
        router: router.p99_ms,
        nginx: nginx.p99_ms,
        target_ratio: None,
    };
    [cpu, p99]
}

/// Of nginx, then the router.
pub(crate) fn memory([nginx, router]: &[Proxy; 2]) -> Measured {
    Measured {
        name: "memory after the load, proportional".into(),
        unit: "MB",
        router: router.memory_mb(),
        nginx: nginx.memory_mb(),
        target_ratio: None,
    }
}

//! How much of the processor an instance's processes want: what they took, and what they waited for.

use std::{fs, time::Duration};

use mainstay_shim::cgroup::Cgroup;

/// Since each began. On a busy machine an instance that has much to do may be given little: what it waited for tells it from one that
/// sleeps. `None` where the kernel keeps no such statistics (`/proc/<pid>/schedstat`, `CONFIG_SCHED_INFO`).
pub(super) fn processor_demand(cgroup: &Cgroup) -> Option<Duration> {
    let used = Duration::from_micros(cgroup.usage().cpu_usage_micros?);
    let waits: Vec<Duration> = cgroup.pids().into_iter().flat_map(waits_of_threads).collect();
    (!waits.is_empty()).then(|| used + waits.iter().sum::<Duration>())
}

fn waits_of_threads(pid: i32) -> Vec<Duration> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let statistics = threads
        .filter_map(Result::ok)
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    statistics.filter_map(|text| waited(&text)).collect()
}

/// Nanoseconds on the processor, nanoseconds of waiting for it, turns (`Documentation/scheduler/sched-stats.rst`).
fn waited(text: &str) -> Option<Duration> {
    let nanoseconds = text.split_ascii_whitespace().nth(1)?;
    Some(Duration::from_nanos(nanoseconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_wait() {
        assert_eq!(
            waited("288672 2092924 2\n"),
            Some(Duration::from_nanos(2_092_924))
        );
        assert_eq!(waited(""), None);
    }

    #[test]
    fn this_process_has_threads_that_waited() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!waits_of_threads(own).is_empty());
    }
}

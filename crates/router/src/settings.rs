//! What can be configured; the supervisor passes it on to its workers as arguments.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The routes snapshot: watched, replaced by rename
    #[arg(long, value_name = "FILE")]
    pub snapshot: PathBuf,
    /// The control socket
    #[arg(long, value_name = "SOCKET")]
    pub control: PathBuf,
    /// Serving threads; one per core unless given
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// The access log; none unless given
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The access log is rotated when it is larger
    #[arg(long, default_value_t = 64 << 20)]
    pub log_bytes_max: u64,
    /// Rotated access logs kept
    #[arg(long, default_value_t = 4)]
    pub log_files_kept: u32,
    /// From the connection, or the last answer, to the end of the request's headers
    #[arg(long, default_value_t = 60_000)]
    pub header_timeout_ms: u64,
    /// To connect to one instance
    #[arg(long, default_value_t = 2_000)]
    pub connect_timeout_ms: u64,
    /// From the request, or the last piece of its body, to the first byte of the answer
    #[arg(long, default_value_t = 100_000)]
    pub answer_timeout_ms: u64,
    /// Idle connections to instances are closed after this time; below the keep-alive time of common servers (5 s)
    #[arg(long, default_value_t = 4_000)]
    pub pool_idle_ms: u64,
    /// Requests and tunnels on one instance at once; more are refused with 503
    #[arg(long, default_value_t = 4_096)]
    pub in_flight_per_endpoint_max: u64,
    /// How long a replaced process keeps idle connections, so that their clients learn of the close in an answer
    #[arg(long, default_value_t = 3_000)]
    pub linger_ms: u64,
    /// How long a replaced process may finish requests and tunnels
    #[arg(long, default_value_t = 3_600_000)]
    pub drain_deadline_ms: u64,
    /// How long requests may take to finish when the router is ended by a signal
    #[arg(long, default_value_t = 30_000)]
    pub shutdown_deadline_ms: u64,
}

impl Settings {
    /// The arguments that give these settings again.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
        add("--snapshot", self.snapshot.clone().into());
        add("--control", self.control.clone().into());
        if let Some(threads) = self.threads {
            add("--threads", threads.to_string().into());
        }
        if let Some(log) = &self.log {
            add("--log", log.clone().into());
        }
        let numbers = [
            ("--log-bytes-max", self.log_bytes_max),
            ("--log-files-kept", self.log_files_kept.into()),
            ("--header-timeout-ms", self.header_timeout_ms),
            ("--connect-timeout-ms", self.connect_timeout_ms),
            ("--answer-timeout-ms", self.answer_timeout_ms),
            ("--pool-idle-ms", self.pool_idle_ms),
            ("--in-flight-per-endpoint-max", self.in_flight_per_endpoint_max),
            ("--linger-ms", self.linger_ms),
            ("--drain-deadline-ms", self.drain_deadline_ms),
            ("--shutdown-deadline-ms", self.shutdown_deadline_ms),
        ];
        for (name, value) in numbers {
            add(name, value.to_string().into());
        }
        arguments
    }

    pub fn thread_count(&self) -> usize {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or(cores).get()
    }

    pub fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub fn pool_idle(&self) -> Duration {
        Duration::from_millis(self.pool_idle_ms)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn arguments_give_the_same_settings_again() {
        let line = "x --snapshot a --control b --threads 3 --log c --log-bytes-max 1 --log-files-kept 2 --header-timeout-ms 3 \
                    --connect-timeout-ms 4 --answer-timeout-ms 5 --pool-idle-ms 6 --in-flight-per-endpoint-max 7 --linger-ms 8 \
                    --drain-deadline-ms 9 --shutdown-deadline-ms 10";
        let first = Line::parse_from(line.split_whitespace()).settings;
        let again = Line::parse_from([OsString::from("x")].into_iter().chain(first.arguments())).settings;
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
    }
}

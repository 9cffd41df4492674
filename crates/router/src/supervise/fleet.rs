//! Questions that concern all serving processes: the one that serves, and those that still drain.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::link::{Left, Link};
use crate::{
    control::{Answer, EndpointLoad, Request, Status},
    table::traffic,
};

/// Who is there; published with every change.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub serving: Option<Link>,
    pub draining: Vec<Link>,
    pub draining_pids: Vec<u32>,
    pub listening: Vec<SocketAddr>,
    pub deaths_total: u64,
    /// Traffic that processes told at their end.
    pub left: Left,
}

/// How long a status may wait for a serving process that is being restarted.
const STATUS_WAIT: Duration = Duration::from_secs(2);

/// How long a process may take to tell its traffic; one of an older version never does.
const TRAFFIC_WAIT: Duration = Duration::from_secs(2);

/// How much longer than the request's own time a serving process may take for its answer.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Answers a request that a serving process can answer. Where the serving process dies meanwhile, its successor is asked.
pub async fn ask_all(mut fleets: watch::Receiver<Fleet>, request: Request) -> Answer {
    let deadline = Instant::now() + limit_of(&request);
    loop {
        let ready = timeout_at(deadline, fleets.wait_for(|fleet| fleet.serving.is_some())).await;
        let Ok(Ok(fleet)) = ready.map(|ready| ready.map(|fleet| fleet.clone())) else {
            return Answer::Error {
                message: "no serving process is running; it is being restarted".into(),
            };
        };
        let request = with_time_left(&request, deadline);
        let links = fleet.serving.iter().chain(&fleet.draining);
        let answers = join_all(links.map(|link| link.control(request.clone())));
        let Ok(answers) = timeout_at(deadline + SILENCE_MAX, answers).await else {
            return Answer::Error {
                message: "a serving process does not answer".into(),
            };
        };
        if answers.first().is_some_and(Option::is_some) {
            return combine(&fleet, answers.into_iter().flatten().collect());
        }
        // The serving process is gone: wait for its end to be noticed.
        let _ = timeout_at(deadline, fleets.changed()).await;
    }
}

/// What all processes counted since it was last taken, and what those that ended since then had left. What a process does not tell in
/// time is part of a later answer.
pub async fn take_traffic(fleet: Fleet) -> Answer {
    let links = fleet.serving.iter().chain(&fleet.draining);
    let asked = links.map(|link| timeout(TRAFFIC_WAIT, link.control(Request::TakeTraffic)));
    let answers = join_all(asked).await;
    let mut bytes = fleet.left.take();
    for answer in answers {
        if let Ok(Some(Answer::Traffic { bytes: counted })) = answer {
            traffic::add(&mut bytes, counted);
        }
    }
    Answer::Traffic { bytes }
}

fn limit_of(request: &Request) -> Duration {
    match request {
        Request::WaitForVersion { timeout_ms, .. } | Request::Drain { timeout_ms, .. } => {
            Duration::from_millis(*timeout_ms)
        }
        _ => STATUS_WAIT,
    }
}

fn with_time_left(request: &Request, deadline: Instant) -> Request {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let timeout_ms = u64::try_from(left).unwrap_or(u64::MAX);
    match request {
        Request::WaitForVersion { version, .. } => Request::WaitForVersion {
            version: *version,
            timeout_ms,
        },
        Request::Drain { endpoint, .. } => Request::Drain {
            endpoint: endpoint.clone(),
            timeout_ms,
        },
        other => other.clone(),
    }
}

/// The worst answer counts; counters are summed.
fn combine(fleet: &Fleet, answers: Vec<Answer>) -> Answer {
    let mut status: Option<Status> = None;
    let mut timed_out = None;
    for answer in answers {
        match answer {
            Answer::Error { .. } => return answer,
            Answer::TimedOut { in_flight } => *timed_out.get_or_insert(0) += in_flight,
            Answer::Done | Answer::Traffic { .. } => {}
            Answer::Status(one) => match &mut status {
                None => status = Some(one),
                Some(sum) => add(sum, one),
            },
        }
    }
    match (status, timed_out) {
        (Some(status), _) => Answer::Status(Status {
            supervisor: Some(std::process::id()),
            draining: fleet.draining_pids.clone(),
            listening: fleet.listening.clone(),
            worker_deaths_total: fleet.deaths_total,
            ..status
        }),
        (None, Some(in_flight)) => Answer::TimedOut { in_flight },
        (None, None) => Answer::Done,
    }
}

fn add(sum: &mut Status, other: Status) {
    sum.connections += other.connections;
    sum.in_flight += other.in_flight;
    sum.requests_total += other.requests_total;
    sum.retries_total += other.retries_total;
    sum.panics_total += other.panics_total;
    sum.log_lines_dropped_total += other.log_lines_dropped_total;
    for (name, count) in other.refusals_total {
        *sum.refusals_total.entry(name).or_default() += count;
    }
    for load in other.endpoints {
        add_load(&mut sum.endpoints, load);
    }
}

fn add_load(loads: &mut Vec<EndpointLoad>, load: EndpointLoad) {
    match loads.iter_mut().find(|known| known.endpoint == load.endpoint) {
        Some(known) => known.add(&load),
        None => loads.push(load),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_answer_counts() {
        let fleet = Fleet::default();
        let late = |in_flight| Answer::TimedOut { in_flight };
        assert_eq!(combine(&fleet, vec![Answer::Done, Answer::Done]), Answer::Done);
        assert_eq!(combine(&fleet, vec![Answer::Done, late(2), late(1)]), late(3));
        let error = Answer::Error { message: "x".into() };
        assert_eq!(combine(&fleet, vec![late(1), error.clone()]), error);
    }

    #[test]
    fn loads_of_the_same_endpoint_are_summed() {
        let load = |endpoint: &str| EndpointLoad {
            endpoint: endpoint.into(),
            in_flight: 1,
            requests_total: 10,
            failures_total: 2,
        };
        let status = |pid, endpoint| Status {
            pid,
            in_flight: 1,
            endpoints: vec![load(endpoint)],
            ..Status::default()
        };
        let both = vec![
            Answer::Status(status(1, "a")),
            Answer::Status(status(2, "a")),
            Answer::Status(status(3, "b")),
        ];
        let Answer::Status(sum) = combine(&Fleet::default(), both) else {
            panic!("a status")
        };
        assert_eq!((sum.pid, sum.in_flight, sum.endpoints.len()), (1, 3, 2));
        assert_eq!(sum.endpoints[0].requests_total, 20);
    }
}

//! Which instance gets a request: the one with the fewest requests of those that lately answered.

use std::sync::Arc;

use crate::table::endpoint::Endpoint;

/// How long others are preferred to an instance that could not be reached.
pub const AVOIDED_MS: u64 = 1_000;

/// `turn` spreads requests over instances that are equally busy. One of `tried` is never chosen, the one that `lost` the request only where
/// there is no other.
pub fn choose(
    endpoints: &[Arc<Endpoint>],
    tried: &[Arc<Endpoint>],
    lost: Option<&Arc<Endpoint>>,
    now_ms: impl Fn() -> u64,
    turn: usize,
) -> Option<Arc<Endpoint>> {
    let count = endpoints.len();
    let in_turn = (0..count).map(|step| &endpoints[(turn.wrapping_add(step)) % count]);
    let untried = in_turn.filter(|endpoint| !tried.iter().any(|other| Arc::ptr_eq(endpoint, other)));
    let has_lost = |endpoint: &Arc<Endpoint>| lost.is_some_and(|lost| Arc::ptr_eq(endpoint, lost));
    untried
        .min_by_key(|endpoint| {
            (
                has_lost(endpoint),
                endpoint.is_avoided(&now_ms),
                endpoint.in_flight(),
            )
        })
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Vec<Arc<Endpoint>> {
        (1..=3)
            .map(|n| {
                Arc::new(Endpoint::new(
                    format!("web-{n}"),
                    ([127, 0, 0, 1], n).into(),
                    n.into(),
                ))
            })
            .collect()
    }

    fn chosen(endpoints: &[Arc<Endpoint>], tried: &[Arc<Endpoint>], turn: usize) -> Option<String> {
        choose(endpoints, tried, None, || 0, turn).map(|endpoint| endpoint.id.clone())
    }

    #[test]
    fn idle_instances_take_turns() {
        let endpoints = endpoints();
        let ids: Vec<_> = (0..4).filter_map(|turn| chosen(&endpoints, &[], turn)).collect();
        assert_eq!(ids, ["web-1", "web-2", "web-3", "web-1"]);
    }

    #[test]
    fn who_lost_a_request_gets_it_again_only_where_nobody_else_is() {
        let endpoints = endpoints();
        let again = |endpoints: &[Arc<Endpoint>]| choose(endpoints, &[], endpoints.first(), || 0, 0);
        let _busy = [endpoints[1].enter(), endpoints[2].enter()];
        assert_eq!(again(&endpoints).unwrap().id, "web-2");
        assert_eq!(again(&endpoints[..1]).unwrap().id, "web-1");
    }

    #[test]
    fn the_least_busy_instance_that_answers_is_chosen() {
        let endpoints = endpoints();
        let _busy = [endpoints[0].enter(), endpoints[1].enter()];
        assert_eq!(chosen(&endpoints, &[], 0).as_deref(), Some("web-3"));
        endpoints[2].failed(AVOIDED_MS);
        assert_eq!(chosen(&endpoints, &[], 0).as_deref(), Some("web-1"));
        assert_eq!(
            chosen(&endpoints, &endpoints[..2], 0).as_deref(),
            Some("web-3"),
            "better avoided than none"
        );
        assert_eq!(chosen(&endpoints, &endpoints, 0), None);
        assert_eq!(chosen(&[], &[], 0), None);
    }
}

//! How much each app's visitors were sent.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes of answers' bodies and of tunnels towards visitors, by app.
pub type Bytes = BTreeMap<String, u64>;

/// What one app's visitors were sent since it was last taken. Aligned so that two apps never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct AppTraffic(AtomicU64);

/// All apps that are routed to, or that sent something that was not taken yet.
#[derive(Debug, Default)]
pub struct Traffic {
    apps: Mutex<HashMap<String, Arc<AppTraffic>>>,
}

impl AppTraffic {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Traffic {
    /// The app's count; all its hosts have the same.
    pub fn of(&self, app: &str) -> Arc<AppTraffic> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = apps.get(app) {
            return Arc::clone(known);
        }
        Arc::clone(apps.entry(app.to_owned()).or_default())
    }

    /// What was counted since the last call, apps with nothing left out. Apps that nothing counts for any more are forgotten.
    pub fn take(&self) -> Bytes {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Bytes::new();
        apps.retain(|app, traffic| {
            // What can be had alone is used by no host and no request, and nobody can get it while this is locked.
            let (bytes, is_used) = match Arc::get_mut(traffic) {
                Some(unused) => (*unused.0.get_mut(), false),
                None => (traffic.0.swap(0, Ordering::Relaxed), true),
            };
            if bytes > 0 {
                taken.insert(app.clone(), bytes);
            }
            is_used
        });
        taken
    }
}

/// Adds what another process counted.
pub fn add(sum: &mut Bytes, other: Bytes) {
    for (app, bytes) in other {
        let known = sum.entry(app).or_default();
        *known = known.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_taken_once_and_an_unused_app_is_forgotten() {
        let traffic = Traffic::default();
        let shop = traffic.of("shop");
        traffic.of("shop").add(5);
        shop.add(2);
        let quiet = traffic.of("quiet");
        assert_eq!(traffic.take(), [("shop".to_owned(), 7)].into());
        assert!(traffic.take().is_empty());
        shop.add(1);
        drop((shop, quiet));
        assert_eq!(traffic.take(), [("shop".to_owned(), 1)].into());
        assert!(traffic.apps.lock().unwrap().is_empty());
    }
}

//! The server's tasks and their end: what works on the store ends before the store is closed.
//!
//! Everything here may be cut off at any await, as by `kill -9`: what was under way is taken up by the next server. Actors are asked first,
//! for what they have begun is then mostly done.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

/// How far the server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// Answers come to an end; streams are closed.
    Closing,
    /// Nothing new is begun.
    Ending,
}

#[derive(Debug)]
pub(crate) struct Tasks {
    stage: watch::Sender<Stage>,
    actors: Mutex<JoinSet<()>>,
    others: Mutex<JoinSet<()>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Serving),
            actors: Mutex::default(),
            others: Mutex::default(),
        }
    }
}

impl Tasks {
    /// For a task that ends by itself once [`Self::until`] says [`Stage::Ending`].
    pub(crate) fn spawn_actor(&self, work: impl Future<Output = ()> + Send + 'static) {
        spawn(&self.actors, work);
    }

    /// For a task that is cut off when the server ends.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        spawn(&self.others, work);
    }

    pub(crate) fn reach(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    pub(crate) fn is_at(&self, stage: Stage) -> bool {
        *self.stage.borrow() >= stage
    }

    /// Waits until the server is so far. Cancel safe.
    pub(crate) async fn until(&self, stage: Stage) {
        let mut watched = self.stage.subscribe();
        // The sender lives as long as this borrow.
        drop(watched.wait_for(|now| *now >= stage).await);
    }

    /// Ends the actors, if they do so in time, then cuts off whatever is left. Says how many actors were cut off.
    pub(crate) async fn end(&self, within: Duration) -> usize {
        self.reach(Stage::Ending);
        let mut actors = take(&self.actors);
        let all = async { while actors.join_next().await.is_some() {} };
        drop(timeout(within, all).await);
        let late = actors.len();
        actors.shutdown().await;
        // A task may have begun another meanwhile.
        loop {
            let mut others = take(&self.others);
            if others.is_empty() {
                return late;
            }
            others.shutdown().await;
        }
    }
}

fn spawn(set: &Mutex<JoinSet<()>>, work: impl Future<Output = ()> + Send + 'static) {
    let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that ended are forgotten here: nobody waits for them.
    while set.try_join_next().is_some() {}
    set.spawn(work);
}

fn take(set: &Mutex<JoinSet<()>>) -> JoinSet<()> {
    std::mem::take(&mut set.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    struct Flag(Arc<AtomicBool>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn actors_finish_what_they_are_at_and_the_rest_is_cut_off() {
        let tasks = Arc::new(Tasks::default());
        let (finished, cut_off) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (own, flag) = (Arc::clone(&tasks), Arc::clone(&finished));
        tasks.spawn_actor(async move {
            own.until(Stage::Ending).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            flag.store(true, Ordering::SeqCst);
        });
        let flag = Flag(Arc::clone(&cut_off));
        tasks.spawn(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        assert_eq!(tasks.end(Duration::from_secs(10)).await, 0);
        assert!(finished.load(Ordering::SeqCst) && cut_off.load(Ordering::SeqCst));
        assert!(tasks.is_at(Stage::Closing));
    }

    #[tokio::test(start_paused = true)]
    async fn an_actor_that_hangs_is_cut_off() {
        let tasks = Tasks::default();
        tasks.spawn_actor(std::future::pending());
        assert_eq!(tasks.end(Duration::from_secs(10)).await, 1);
    }
}

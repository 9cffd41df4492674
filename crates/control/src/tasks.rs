//! The server's tasks and their end: what works on the store ends before the store is closed.
//!
//! Everything here may be cut off at any await, as by `kill -9`: what was under way is taken up by the next server. Actors are asked first,
//! for what they have begun is then mostly done. A task that cannot be cut off, because it blocks its thread, is left behind: nothing keeps the
//! server longer than its deadlines.

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
    actors: Set,
    others: Set,
}

/// `None` once its tasks were ended: nothing is begun any more.
type Set = Mutex<Option<JoinSet<()>>>;

impl Default for Tasks {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Serving),
            actors: Mutex::new(Some(JoinSet::new())),
            others: Mutex::new(Some(JoinSet::new())),
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

    /// Ends the actors, if they do so in time, then cuts off whatever is left, in as much time again. Says how many actors were cut off.
    pub(crate) async fn end(&self, within: Duration) -> usize {
        self.reach(Stage::Ending);
        let mut actors = take(&self.actors);
        let all = async { while actors.join_next().await.is_some() {} };
        drop(timeout(within, all).await);
        let late = actors.len();
        let mut others = take(&self.others);
        let cut_off = async { tokio::join!(actors.shutdown(), others.shutdown()) };
        if timeout(within, cut_off).await.is_err() {
            tracing::warn!("a task that cannot be cut off is left behind");
        }
        late
    }
}

fn spawn(set: &Set, work: impl Future<Output = ()> + Send + 'static) {
    let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(set) = set.as_mut() else { return };
    // Those that ended are forgotten here: nobody waits for them.
    while set.try_join_next().is_some() {}
    set.spawn(work);
}

fn take(set: &Set) -> JoinSet<()> {
    let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
    set.take().unwrap_or_default()
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_that_blocks_its_thread_does_not_keep_the_server() {
        let tasks = Tasks::default();
        let (let_go, block) = std::sync::mpsc::channel::<()>();
        let (began, begins) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            began.send(()).unwrap();
            // Until the test drops the other end.
            block.recv().ok();
        });
        begins.await.unwrap();
        let ended = timeout(Duration::from_secs(30), tasks.end(Duration::from_millis(50))).await;
        assert_eq!(ended, Ok(0));
        drop(let_go);
    }

    #[tokio::test]
    async fn nothing_is_begun_after_the_end() {
        let tasks = Tasks::default();
        tasks.end(Duration::from_secs(10)).await;
        let flag = Arc::new(AtomicBool::new(false));
        let dropped = Flag(Arc::clone(&flag));
        tasks.spawn(async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        });
        assert!(flag.load(Ordering::SeqCst), "the task is dropped at once");
    }
}

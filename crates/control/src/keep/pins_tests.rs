//! Pins on a real database and a real image store.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use mainstay_build::{Artifact, BuildOutput, ResolvedSource, Source};
use mainstay_deploy::{Event, PhaseKind, Recorded};
use mainstay_images::{
    ImageStore,
    record::{ImageConfig, ImageId, ImageRecord},
    store::{CollectPolicy, Pinned},
};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, BuildId, DeploymentId},
};
use mainstay_store::{AppChange, BuildRow, NewDeployment, Store};
use uuid::Uuid;

use super::pins;

struct World {
    store: Store,
    images: ImageStore,
    app: AppId,
    _directory: tempfile::TempDir,
}

/// A deployment with the image that its one component was built into.
struct Built {
    deployment: DeploymentId,
    image: ImageId,
    files: PathBuf,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let images = ImageStore::open(&directory.path().join("images")).unwrap();
        let app = AppId::from_uuid(Uuid::new_v4());
        let world = Self {
            store,
            images,
            app,
            _directory: directory,
        };
        let first = world.new_deployment();
        world
            .store
            .create_app(mainstay_spec::ids::AccountId::FIRST, &first)
            .await
            .unwrap();
        world.end(first.id, PhaseKind::Canceled).await;
        world
    }

    fn new_deployment(&self) -> NewDeployment {
        NewDeployment {
            id: DeploymentId::from_uuid(Uuid::new_v4()),
            app: self.app,
            spec: AppSpec::default(),
            cause: "manual".to_owned(),
            cause_kind: "MANUAL".to_owned(),
            previous: None,
            force_build: false,
            pinned_sources: BTreeMap::new(),
            cloned_from: None,
            restarts: None,
            created_at: Timestamp::now(),
        }
    }

    fn output(&self) -> (BuildOutput, PathBuf) {
        let draft = self.images.begin_layer().unwrap();
        fs::write(draft.path().join("index.html"), "hello").unwrap();
        let layer = draft.commit(None).unwrap();
        let files = self.images.layer_path(&layer).unwrap();
        let record = ImageRecord {
            id: self.images.new_image_id(),
            layers: vec![layer],
            config: ImageConfig::default(),
            created_at: Timestamp::now(),
            origin: "test".to_owned(),
            digest: None,
        };
        self.images.put_image(&record).unwrap();
        let output = BuildOutput {
            artifact: Artifact::Image { image: record.id },
            key: "key".to_owned(),
            revision: "revision".to_owned(),
        };
        (output, files)
    }

    /// What a rollout does, up to the end of the build.
    async fn built(&self) -> Built {
        let new = self.new_deployment();
        self.store.accept(&new, AppChange::Nothing).await.unwrap();
        let (output, files) = self.output();
        pins::hold(&self.images, new.id, &output).unwrap();
        let Artifact::Image { image } = output.artifact.clone() else {
            unreachable!("made so")
        };
        let row = BuildRow {
            id: BuildId::from_uuid(Uuid::new_v4()),
            deployment: new.id,
            component: "web".to_owned(),
            source: ResolvedSource {
                source: Source::Git {
                    url: "https://git.example/a".to_owned(),
                    branch: None,
                },
                revision: "revision".to_owned(),
            },
            output: Some(output),
            facts: None,
            created_at: Timestamp::now(),
        };
        self.store.put_build(&row).await.unwrap();
        Built {
            deployment: new.id,
            image,
            files,
        }
    }

    async fn served(&self) -> Built {
        let built = self.built().await;
        self.end(built.deployment, PhaseKind::Active).await;
        built
    }

    async fn end(&self, deployment: DeploymentId, phase: PhaseKind) {
        let sequence = self.store.events(deployment).await.unwrap().len() as u64;
        let recorded = Recorded {
            at: Timestamp::now(),
            event: Event::RoutesSwitched,
        };
        let appended = self
            .store
            .append_event(deployment, sequence, &recorded, phase, true);
        appended.await.unwrap();
    }

    /// A whole collection; nothing is too young for it.
    async fn collect(&self, rollbacks: u32) -> usize {
        let dropped = pins::drop_retired(&self.store, &self.images, rollbacks);
        let dropped = dropped.await.unwrap();
        let policy = CollectPolicy {
            unused_since: SystemTime::now() + Duration::from_secs(1),
            cache_bytes: 0,
        };
        self.images.collect(&Pinned::default(), &policy).unwrap();
        dropped
    }
}

impl Built {
    /// Its files are on disk and the store can name them.
    fn can_start(&self, world: &World) -> bool {
        let layers = world
            .images
            .image(&self.image)
            .and_then(|record| world.images.layer_paths(&record));
        let there = layers.is_ok_and(|layers| layers.iter().all(|layer| layer.join("index.html").exists()));
        assert_eq!(there, self.files.exists(), "records and disk differ");
        there
    }
}

#[tokio::test]
async fn old_images_leave_the_disk_and_rollbacks_can_still_start() {
    let world = World::new().await;
    let mut served = Vec::new();
    for _ in 0..4 {
        served.push(world.served().await);
    }
    assert_eq!(world.collect(2).await, 1);
    let there: Vec<bool> = served.iter().map(|built| built.can_start(&world)).collect();
    assert_eq!(there, [false, true, true, true]);
    assert_eq!(world.collect(0).await, 2);
    let there: Vec<bool> = served.iter().map(|built| built.can_start(&world)).collect();
    assert_eq!(there, [false, false, false, true]);
}

#[tokio::test]
async fn a_failed_deployment_holds_nothing() {
    let world = World::new().await;
    let (good, failed) = (world.served().await, world.built().await);
    world.collect(10).await;
    assert!(failed.can_start(&world), "it goes on");
    world.end(failed.deployment, PhaseKind::Failed).await;
    world.collect(10).await;
    assert!(good.can_start(&world) && !failed.can_start(&world));
}

#[tokio::test]
async fn a_crash_between_the_pin_and_the_row_loses_nothing_and_leaks_nothing() {
    let world = World::new().await;
    let new = world.new_deployment();
    world.store.accept(&new, AppChange::Nothing).await.unwrap();
    let (output, files) = world.output();
    pins::hold(&world.images, new.id, &output).unwrap();
    // The server is killed here. Its successor builds again, and finds the same.
    assert_eq!(pins::restore(&world.store, &world.images, 10).await.unwrap(), 0);
    world.collect(10).await;
    assert!(files.exists());
    world.end(new.id, PhaseKind::Canceled).await;
    assert_eq!(world.collect(10).await, 1);
    assert!(!files.exists() && world.images.pins().is_empty());
}

#[tokio::test]
async fn lost_pins_are_set_again_before_anything_is_collected() {
    let world = World::new().await;
    let (rollback, active) = (world.served().await, world.served().await);
    for built in [&rollback, &active] {
        pins::drop_one(&world.images, built.deployment).unwrap();
    }
    assert_eq!(pins::restore(&world.store, &world.images, 10).await.unwrap(), 0);
    world.collect(10).await;
    assert!(rollback.can_start(&world) && active.can_start(&world));

    // Without them the images go; the next start says so instead of failing.
    pins::drop_one(&world.images, rollback.deployment).unwrap();
    world.collect(10).await;
    assert_eq!(pins::restore(&world.store, &world.images, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn pins_of_others_and_of_apps_that_are_gone_are_told_apart() {
    let world = World::new().await;
    let built = world.served().await;
    world.images.pin("stack debian-12", Pinned::default()).unwrap();
    world.store.delete_app(world.app).await.unwrap();
    assert_eq!(world.collect(10).await, 1);
    assert!(!built.can_start(&world));
    assert_eq!(world.images.pins().len(), 1);
}

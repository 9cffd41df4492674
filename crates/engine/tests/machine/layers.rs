//! What an instance sees of its image's layers, whichever way they got their owners.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use mainstay_engine::{
    Engine, InstanceSpec, Mount, MountKind,
    local::{LayerOwner, LocalEngine},
};
use mainstay_images::store::{CollectPolicy, Pinned};
use rustix::{
    fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat},
    mount::{MountFlags, UnmountFlags},
};

use crate::world::{DEADLINE, PROGRAMS, World, exited};

/// Two layers on top of busybox's: files with owners, links and set-id bits; removals of some of them.
fn layers(world: &World) -> Vec<PathBuf> {
    let lower = world.images.begin_layer().unwrap();
    let at = |path: &str| lower.path().join(path);
    fs::create_dir_all(at("opt/app/old")).unwrap();
    fs::create_dir(at("opt/hidden")).unwrap();
    fs::write(at("opt/hidden/file"), "").unwrap();
    fs::write(at("opt/app/removed"), "").unwrap();
    fs::write(at("opt/app/one"), "shared").unwrap();
    fs::hard_link(at("opt/app/one"), at("opt/app/two")).unwrap();
    chown(at("opt/app/one"), Some(1000), Some(2000)).unwrap();
    symlink("one", at("opt/app/link")).unwrap();
    lchown(at("opt/app/link"), Some(1000), Some(1000)).unwrap();
    fs::copy(
        mainstay_testkit::busybox_layer().join("bin/busybox"),
        at("opt/app/id"),
    )
    .unwrap();
    chown(at("opt/app/id"), Some(1000), Some(1000)).unwrap();
    fs::set_permissions(at("opt/app/id"), fs::Permissions::from_mode(0o6755)).unwrap();
    let lower = lower.commit(None).unwrap();

    let upper = world.images.begin_layer().unwrap();
    let at = |path: &str| upper.path().join(path);
    fs::create_dir_all(at("opt/app")).unwrap();
    fs::create_dir(at("opt/hidden")).unwrap();
    lsetxattr(
        at("opt/hidden"),
        "trusted.overlay.opaque",
        b"y",
        XattrFlags::empty(),
    )
    .unwrap();
    whiteout(&at("opt/app/removed"));
    whiteout(&at("opt/app/old"));
    let upper = upper.commit(None).unwrap();
    let path = |id| world.images.layer_path(id).unwrap();
    vec![mainstay_testkit::busybox_layer(), path(&lower), path(&upper)]
}

fn whiteout(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
}

#[tokio::test]
async fn files_of_layers_have_their_owners_links_and_bits_and_can_be_changed() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell(
        "cd /opt; stat -c '%n %u %g %a %h' app/*; ls -A hidden | wc -l; stat -c %u / /bin/busybox; \
         stat -c '%i' app/one app/two | uniq | wc -l; \
         echo more >> app/one; chown 7:8 app/one; stat -c '%u %g %s' app/one; rm app/link",
    );
    spec.layers = layers(&world);
    let (exit, output) = world.run(spec).await;
    let expected = [
        "app/id 1000 1000 6755 1",
        "app/link 1000 1000 777 1",
        "app/one 1000 2000 644 2",
        "app/two 1000 2000 644 2",
        "0",
        "0",
        "0",
        "1",
        "7 8 11",
    ];
    assert_eq!(output, expected);
    assert_eq!(exit.termination, exited(0));
}

#[tokio::test]
async fn what_was_written_before_can_be_changed_and_comes_back() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    chown(&cache, Some(1000), Some(1000)).unwrap();
    for round in 1..=2 {
        let mut spec = world.shell("id -u; stat -c %u /cache /cache/* 2>/dev/null; touch /cache/$ROUND");
        spec.user = Some("app".to_owned());
        spec.env.insert("ROUND".to_owned(), round.to_string());
        spec.mounts = vec![Mount {
            target: "/cache".to_owned(),
            kind: MountKind::Writable {
                source: cache.clone(),
            },
        }];
        let (exit, output) = world.run(spec).await;
        assert_eq!(output, vec!["1000"; 1 + round], "round {round}");
        assert_eq!(exit.termination, exited(0));
        let written = fs::metadata(cache.join(round.to_string())).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&written), 1000);
    }
}

/// Makes everything of the store old enough for a collection.
fn collect(world: &World) -> Vec<String> {
    let copies = world.images.root().join("copies");
    for layer in fs::read_dir(copies).unwrap() {
        for copy in fs::read_dir(layer.unwrap().path()).unwrap() {
            let directory = fs::File::open(copy.unwrap().path()).unwrap();
            directory
                .set_modified(SystemTime::now() - Duration::from_hours(9))
                .unwrap();
        }
    }
    let policy = CollectPolicy {
        unused_since: SystemTime::now() - Duration::from_hours(1),
        cache_bytes: 0,
    };
    let collected = world.images.collect(&Pinned::default(), &policy).unwrap();
    collected.copies.into_iter().map(|copy| copy.kind).collect()
}

#[tokio::test]
async fn copies_are_made_once_per_app_and_kept_while_an_instance_runs() {
    if crate::LAYER_OWNER != LayerOwner::Copy || !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let first = world.shell("exec sleep 1000");
    let second = world.shell("exec sleep 1000");
    let (first_id, second_id) = (first.id, second.id);
    let (one, two) = tokio::join!(world.engine.start(first), world.engine.start(second));
    one.unwrap();
    two.unwrap();
    let kind = format!("ids-{}", world.config.id_range.start);
    let copies = world.images.copies().unwrap();
    assert_eq!(copies.iter().map(|copy| &copy.kind).collect::<Vec<_>>(), [&kind]);

    world.stop(first_id, DEADLINE).await;
    world.engine.remove(first_id).await.unwrap();
    assert_eq!(collect(&world), [""; 0]);
    world.stop(second_id, DEADLINE).await;
    world.engine.remove(second_id).await.unwrap();
    assert_eq!(collect(&world), [kind]);
}

/// A file system that the kernel maps no owners on, whatever its version. Ends with the guard.
struct Ramfs {
    directory: tempfile::TempDir,
}

impl Ramfs {
    fn with_busybox() -> Self {
        let directory = tempfile::tempdir().unwrap();
        rustix::mount::mount("ramfs", directory.path(), "ramfs", MountFlags::empty(), None).unwrap();
        let ramfs = Self { directory };
        let copied = Command::new("cp")
            .arg("--archive")
            .arg(mainstay_testkit::busybox_layer())
            .arg(ramfs.layer())
            .status();
        assert!(copied.unwrap().success());
        ramfs
    }

    fn layer(&self) -> PathBuf {
        self.directory.path().join("layer")
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.directory.path(), UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn layers_are_copied_where_the_kernel_does_not_map() {
    if crate::LAYER_OWNER != LayerOwner::Auto || !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    let ramfs = Ramfs::with_busybox();
    let spec = |world: &World| InstanceSpec {
        layers: vec![ramfs.layer()],
        ..world.shell("stat -c '%u %a' /bin/busybox /home/app /tmp; echo x > /bin/new; stat -c %u /bin/new")
    };
    let copied = spec(&world);
    let id = copied.id;
    let (exit, output) = world.run(copied).await;
    assert_eq!(output, ["0 755", "1000 755", "0 1777", "0"]);
    assert_eq!(exit.termination, exited(0));
    world.engine.remove(id).await.unwrap();
    let left = world.config.data_dir.join("instances").join(id.to_string());
    assert!(
        !left.join("copies").exists(),
        "no layer of the store, so the copy was the instance's own"
    );
    assert_eq!(world.remains(id), [""; 0]);

    world.config.layer_owner = LayerOwner::Idmap;
    world.engine = LocalEngine::open(world.config.clone()).await.unwrap();
    let error = world.engine.start(spec(&world)).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("map the file owners of"), "{text}");
}

//! From which commit the components of a deployment are built.

use mainstay_testkit::Place;

use super::World;

#[test]
fn components_of_one_repository_are_built_from_one_commit() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let id = server.serving_app().await;
        let mut spec = world.good("2");
        spec.static_sites[0].git.clone_from(&spec.services[0].git);
        drop(world.calls.disarm());
        server.update(id, &spec).await.expect("nothing is wrong");
        server.settle().await.unwrap_or_else(|wrong| panic!("{wrong}"));
        let calls = world.calls.disarm();
        let asked = calls.iter().filter(|call| *call == "resolve").count();
        assert_eq!(asked, 1, "{calls:?}");
    });
    assert!(lived.is_some());
}

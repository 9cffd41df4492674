//! The end of a server that is told to end.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use mainstay_deploy::PhaseKind;
use mainstay_testkit::Place;
use tokio::sync::oneshot;

use super::{builder::NEVER_ENDS, engine::SERVES, world::World};
use crate::server;

/// The sum of the deadlines, and some for a loaded machine.
const ENDS_WITHIN: Duration = Duration::from_secs(40);
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn neither_an_endless_request_nor_an_endless_build_keeps_the_server() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0).with_api(place.address(4));
    let lived = world.live(async |server| {
        let spec = server.world.spec("1", SERVES, NEVER_ENDS);
        server.create(&spec).await.expect("it is accepted");
        let platform = std::sync::Arc::clone(&server.application.platform);
        let (tell, told) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let application = crate::app::Application::new(std::sync::Arc::clone(&platform));
            let served = server::serve(&platform, application, async { drop(told.await) }).await;
            server::end(&platform).await;
            served
        });
        let token = server
            .application
            .first_token()
            .await
            .expect("nothing is wrong with the store");
        let request = endless_request(place.address(4), &token.expect("there was none")).await;
        await_building(server).await;
        let began = Instant::now();
        tell.send(()).expect("the server listens");
        let ended = tokio::time::timeout(ENDS_WITHIN, ended).await;
        ended
            .expect("it ends in time")
            .expect("it does not panic")
            .expect("it served");
        assert!(began.elapsed() < ENDS_WITHIN);
        drop(request);
    });
    assert!(lived.is_some());
}

/// An upload whose body never comes.
async fn endless_request(api: std::net::SocketAddr, token: &str) -> TcpStream {
    let head = format!(
        "POST /v2/mainstay/uploads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\nhalf"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut stream) = TcpStream::connect(api) {
            stream.write_all(head.as_bytes()).expect("the server listens");
            return stream;
        }
        assert!(Instant::now() < deadline, "the API is not served");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn await_building(server: &super::world::Server<'_>) {
    let deadline = Instant::now() + PATIENCE;
    let store = &server.application.platform.store;
    loop {
        let apps = store.all_apps().await.expect("nothing is wrong with the store");
        let (rows, _) = store
            .deployments(apps[0].id, 0, 1)
            .await
            .expect("nothing is wrong with the store");
        if rows[0].phase == PhaseKind::Building {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the build does not begin: {:?}",
            rows[0].phase
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

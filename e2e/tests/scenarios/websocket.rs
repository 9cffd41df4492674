//! A websocket through the router, to an app that echoes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mainstay_e2e::{Folder, Platform};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{client_async, tungstenite::Message};

const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn a_websocket_echoes(platform: &mut Platform) {
    let manifest = json!({
        "name": "echo", "version": "1.0.0", "private": true,
        "scripts": { "start": "node server.js" }, "dependencies": { "ws": "8.18.0" },
    });
    let folder = Folder::service("echo")
        .with("package.json", &manifest.to_string())
        .with("server.js", ECHO_SERVER);
    platform.deploy_active(&folder);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
    let long = "long ".repeat(50_000);
    let messages = ["hello", "again", &long];
    let conversation = async { timeout(ANSWERS_WITHIN, converse(platform, &messages)).await };
    runtime.block_on(conversation).expect("the echoes come in time");
    platform.delete("echo");
}

async fn converse(platform: &Platform, messages: &[&str]) {
    let stream = TcpStream::connect(platform.router())
        .await
        .expect("the router listens");
    let url = format!("ws://echo.localhost:{}/", platform.router().port());
    let (mut socket, _) = client_async(url, stream)
        .await
        .expect("the upgrade passes the router");
    for message in messages {
        socket.send(Message::text(*message)).await.expect("it is open");
        let echo = socket
            .next()
            .await
            .expect("it is open")
            .expect("a message comes back");
        assert_eq!(echo, Message::text(*message));
    }
    socket.close(None).await.expect("it is open");
}

const ECHO_SERVER: &str = r#"const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ port: process.env.PORT || 8080 });
server.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
"#;

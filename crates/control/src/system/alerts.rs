//! What happens to an app is told where its alerts go, with the reason, and whatever happens to the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use mainstay_api::{Alert, AlertDestinationsRequest, DomainPhase, SlackWebhook};
use mainstay_spec::{AlertRule, AppSpec, ids::AppId};
use mainstay_testkit::Place;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use super::{
    builder::FAILS,
    world::{LOOK_EVERY, Server, World},
};
use crate::{alerts::send_alerts, authority::Authority, config::AlertsConfig};

const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Takes webhooks over TLS and mails over SMTP, on a thread of its own, as somebody else's servers do.
pub(super) struct Hearer {
    address: SocketAddr,
    pub(super) heard: mpsc::Receiver<String>,
}

impl Hearer {
    /// `statuses` are the first answers; all others are 200.
    pub(super) fn of_webhooks(statuses: &'static [&'static str], authority: &Authority) -> Self {
        let identity = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let mut statuses = statuses.iter();
        Self::start(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut length = 0;
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                let header = line.to_ascii_lowercase();
                length = header
                    .strip_prefix("content-length: ")
                    .map_or(length, |value| value.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            let status = statuses.next().copied().unwrap_or("200 OK");
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).ok()?;
            stream.get_mut().conn.send_close_notify();
            stream.get_mut().flush().ok()?;
            String::from_utf8(body).ok()
        })
    }

    fn of_mails() -> Self {
        Self::start(|mut stream| {
            let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
            stream.write_all(b"220 mail.example.com ESMTP\r\n").ok()?;
            let mut mail = String::new();
            let mut in_data = false;
            while let Some(Ok(line)) = lines.next() {
                let answer: &[u8] = match line.split(' ').next().unwrap_or_default() {
                    "." if in_data => {
                        in_data = false;
                        b"250 taken\r\n"
                    }
                    _ if in_data => {
                        mail.push_str(&line);
                        mail.push('\n');
                        continue;
                    }
                    "DATA" => {
                        in_data = true;
                        b"354 go on\r\n"
                    }
                    "QUIT" => {
                        stream.write_all(b"221 bye\r\n").ok()?;
                        break;
                    }
                    _ => b"250 mail.example.com\r\n",
                };
                stream.write_all(answer).ok()?;
                if !mail.is_empty() && !in_data {
                    break;
                }
            }
            Some(mail)
        })
    }

    fn start(mut hear: impl FnMut(TcpStream) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heard) = mpsc::channel();
        // Ends when nobody wants to know any more, or with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
                if let Some(text) = hear(stream)
                    && tell.send(text).is_err()
                {
                    return;
                }
            }
        });
        Self { address, heard }
    }

    /// While the server goes on.
    pub(super) async fn next(&self) -> String {
        let deadline = Instant::now() + TOLD_WITHIN;
        loop {
            match self.heard.try_recv() {
                Ok(text) => return text,
                Err(_) => assert!(Instant::now() < deadline, "nothing was told"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) fn webhook(&self) -> SlackWebhook {
        SlackWebhook {
            url: format!("https://{}/services/hunter2", self.address),
            channel: "#ops".to_owned(),
        }
    }
}

pub(super) fn world(
    place: &Place,
    authority: &Authority,
    directory: &tempfile::TempDir,
    smtp: &str,
) -> World {
    let bundle: PathBuf = directory.path().join("bundle.pem");
    std::fs::write(&bundle, authority.certificate()).unwrap();
    let alerts = AlertsConfig {
        smtp_url: smtp.to_owned(),
        from: "Mainstay <mainstay@example.com>".to_owned(),
        local_webhooks: true,
    };
    World::new(place.address(3).port(), 0).with_alerts(bundle, alerts)
}

fn alert(rule: AlertRule) -> mainstay_spec::Alert {
    mainstay_spec::Alert {
        rule: Some(rule),
        ..mainstay_spec::Alert::default()
    }
}

fn failing(spec: AppSpec) -> AppSpec {
    let mut spec = spec;
    spec.services[0].build_command = Some(FAILS.to_owned());
    spec
}

pub(super) async fn alert_of(server: &Server<'_>, app: AppId, rule: AlertRule) -> Alert {
    let alerts = server.application.alerts(app).await.unwrap();
    alerts
        .into_iter()
        .find(|alert| alert.spec.rule == Some(rule))
        .unwrap()
}

pub(super) async fn send_to(server: &Server<'_>, app: AppId, rule: AlertRule, to: &AlertDestinationsRequest) {
    let id = alert_of(server, app, rule).await.id;
    server.application.send_alert_to(app, &id, to).await.unwrap();
}

/// The first answer is a failure of the hearer's, and the server is killed before it can try again: the next one does.
#[test]
fn a_failed_deployment_is_told_with_its_reason_until_somebody_took_it() {
    let (place, directory) = (Place::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::open(&directory.path().join("authority"), "Test").unwrap();
    let hearer = Hearer::of_webhooks(&["503 Service Unavailable"], &authority);
    let world = world(&place, &authority, &directory, "");
    let failed = AlertRule::DeploymentFailed;
    let app = world.live(async |server| {
        let mut spec = world.good("1");
        spec.alerts = vec![alert(failed), alert(AlertRule::DeploymentLive)];
        let app = server.create(&spec).await.unwrap();
        server.settle().await.unwrap();
        let to = AlertDestinationsRequest {
            slack_webhooks: vec![hearer.webhook()],
            ..AlertDestinationsRequest::default()
        };
        send_to(server, app, failed, &to).await;
        server.update(app, &failing(spec)).await.unwrap();
        server.settle().await.unwrap();
        server
            .application
            .platform
            .tasks
            .spawn(send_alerts(server.application.clone()));
        let _ = hearer.next().await;
        let deadline = Instant::now() + TOLD_WITHIN;
        while alert_of(server, app, failed).await.phase != DomainPhase::Error {
            assert!(Instant::now() < deadline, "the failure is not shown");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let shown = alert_of(server, app, failed).await.progress.unwrap().steps;
        let message = &shown[0].reason.as_ref().unwrap().message;
        assert!(
            message.contains("503") && !message.contains("hunter2"),
            "{message}"
        );
        app
    });
    let app = app.unwrap();
    let stored = std::fs::read(world.database()).unwrap();
    assert!(
        !String::from_utf8_lossy(&stored).contains("hunter2"),
        "it is stored sealed"
    );
    world.clock.put_forward(Duration::from_secs(11));
    let told = world.live(async |server| {
        server
            .application
            .platform
            .tasks
            .spawn(send_alerts(server.application.clone()));
        let told = hearer.next().await;
        let deadline = Instant::now() + TOLD_WITHIN;
        while alert_of(server, app, failed).await.phase != DomainPhase::Active {
            assert!(Instant::now() < deadline, "that it was taken is not shown");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        told
    });
    let told: Value = serde_json::from_str(&told.unwrap()).unwrap();
    let text = told["text"].as_str().unwrap();
    for words in [
        "*shop: deployment 2 failed*",
        "BuildJob",
        "the script says so",
        "The version before serves on.",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(told["channel"], "#ops");
    assert!(
        hearer.heard.try_recv().is_err(),
        "nobody asked to hear of anything else"
    );
}

#[test]
fn a_deployment_that_is_live_is_told_by_mail() {
    let (place, directory) = (Place::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::open(&directory.path().join("authority"), "Test").unwrap();
    let hearer = Hearer::of_mails();
    let world = world(
        &place,
        &authority,
        &directory,
        &format!("smtp://{}", hearer.address),
    );
    let mail = world.live(async |server| {
        server
            .application
            .platform
            .tasks
            .spawn(send_alerts(server.application.clone()));
        let mut spec = world.good("1");
        spec.alerts = vec![alert(AlertRule::DeploymentLive)];
        let app = server.create(&spec).await.unwrap();
        server.settle().await.unwrap();
        let to = AlertDestinationsRequest {
            emails: vec!["ops@example.com".to_owned()],
            ..AlertDestinationsRequest::default()
        };
        send_to(server, app, AlertRule::DeploymentLive, &to).await;
        server
            .update(
                app,
                &AppSpec {
                    alerts: spec.alerts.clone(),
                    ..world.good("2")
                },
            )
            .await
            .unwrap();
        server.settle().await.unwrap();
        hearer.next().await
    });
    let mail = mail.unwrap();
    for words in [
        "To: ops@example.com",
        "Subject: shop: deployment 2 is live",
        "From: \"Mainstay\" <mainstay@example.com>",
    ] {
        assert!(
            mail.contains(words) || mail.contains(&words.replace('"', "")),
            "{words} is not in:\n{mail}"
        );
    }
}

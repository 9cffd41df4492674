//! Alerts about what is measured: told once when one begins to hold over its window, and once when it no longer does.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use mainstay_api::{AlertDestinationsRequest, DomainPhase};
use mainstay_spec::{Alert, AlertOperator, AlertRule, AlertWindow, ids::AppId};
use mainstay_testkit::Place;
use serde_json::Value;

use super::{
    alerts::{Hearer, alert_of, send_to, world},
    world::{LOOK_EVERY, Server, World},
};
use crate::{alerts::send_alerts, authority::Authority, metrics::Metrics};

const MINUTE: Duration = Duration::from_mins(1);
const RESTARTS_WITHIN: Duration = Duration::from_secs(30);

fn above(rule: AlertRule, value: f64) -> Alert {
    Alert {
        rule: Some(rule),
        operator: Some(AlertOperator::GreaterThan),
        value,
        window: Some(AlertWindow::FiveMinutes),
        ..Alert::default()
    }
}

/// A service with these alerts; what is told of the rule goes to the hearer.
async fn app_with(server: &Server<'_>, alerts: &[Alert], rules: &[AlertRule], hearer: &Hearer) -> AppId {
    let mut spec = server.world.good("1");
    spec.services[0].alerts = alerts.to_vec();
    let app = server.create(&spec).await.unwrap();
    server.settle().await.unwrap();
    let to = AlertDestinationsRequest {
        slack_webhooks: vec![hearer.webhook()],
        ..AlertDestinationsRequest::default()
    };
    for rule in rules {
        send_to(server, app, *rule, &to).await;
        assert_eq!(alert_of(server, app, *rule).await.phase, DomainPhase::Active);
    }
    app
}

fn sends_alerts(server: &Server<'_>) {
    let application = server.application.clone();
    application.platform.tasks.spawn(send_alerts(application.clone()));
}

/// So many looks, each a minute after the one before.
async fn look(server: &Server<'_>, metrics: &mut Metrics, times: usize) {
    for _ in 0..times {
        server.world.clock_goes_on(MINUTE);
        metrics.look(&server.application).await.unwrap();
    }
}

async fn holding(server: &Server<'_>, app: AppId) -> BTreeSet<String> {
    let store = &server.application.platform.store;
    store.holding_alerts(app).await.unwrap()
}

async fn told(hearer: &Hearer) -> String {
    let told: Value = serde_json::from_str(&hearer.next().await).unwrap();
    told["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_threshold_that_is_passed_over_the_window_is_told_once_over_a_restart_of_the_server() {
    let (place, directory) = (Place::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::open(&directory.path().join("authority"), "Test").unwrap();
    let hearer = Hearer::of_webhooks(&[], &authority);
    let world = world(&place, &authority, &directory, "");
    let app = world.live(async |server| {
        let cpu = [
            above(AlertRule::CpuUtilization, 80.0),
            above(AlertRule::MemUtilization, 99.0),
        ];
        let rules = [AlertRule::CpuUtilization, AlertRule::MemUtilization];
        let app = app_with(server, &cpu, &rules, &hearer).await;
        sends_alerts(server);
        world.instances_use(95, 512 << 20);
        let mut metrics = Metrics::default();
        // The first look has no use of the CPU, and three minutes are not the window.
        look(server, &mut metrics, 4).await;
        assert_eq!(holding(server, app).await, BTreeSet::new());
        look(server, &mut metrics, 1).await;
        let text = told(&hearer).await;
        for words in [
            "*shop: CPU of web above 80 %*",
            "95.0 %",
            "5 minutes",
            "CPU_UTILIZATION",
        ] {
            assert!(text.contains(words), "{text}");
        }
        look(server, &mut metrics, 3).await;
        assert_eq!(holding(server, app).await.len(), 1, "it still does");
        app
    });
    let app = app.unwrap();
    world.live(async |server| {
        sends_alerts(server);
        let mut metrics = Metrics::default();
        look(server, &mut metrics, 2).await;
        assert_eq!(holding(server, app).await.len(), 1, "as it did before");
        world.instances_use(10, 512 << 20);
        look(server, &mut metrics, 3).await;
        // Were it told again, that would come first.
        let text = told(&hearer).await;
        assert!(text.contains("*shop: CPU of web no longer above 80 %*"), "{text}");
        assert_eq!(holding(server, app).await, BTreeSet::new());
    });
    assert!(hearer.heard.try_recv().is_err(), "nothing else was to be told");
}

#[test]
fn restarts_are_counted_within_the_window_and_a_disabled_alert_is_silent() {
    let (place, directory) = (Place::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::open(&directory.path().join("authority"), "Test").unwrap();
    let hearer = Hearer::of_webhooks(&[], &authority);
    let world = world(&place, &authority, &directory, "");
    world.live(async |server| {
        let disabled = Alert {
            disabled: true,
            ..above(AlertRule::MemUtilization, 1.0)
        };
        let alerts = [above(AlertRule::RestartCount, 1.0), disabled];
        let rules = [AlertRule::RestartCount, AlertRule::MemUtilization];
        let app = app_with(server, &alerts, &rules, &hearer).await;
        sends_alerts(server);
        world.instances_use(95, 512 << 20);
        let mut metrics = Metrics::default();
        metrics.look(&server.application).await.unwrap();
        crash(&world, server, app, 1).await;
        metrics.look(&server.application).await.unwrap();
        assert_eq!(
            holding(server, app).await,
            BTreeSet::new(),
            "one is not above one"
        );
        crash(&world, server, app, 2).await;
        metrics.look(&server.application).await.unwrap();
        let text = told(&hearer).await;
        for words in [
            "*shop: restarts of web above 1*",
            "restarted 2 times within 5 minutes",
        ] {
            assert!(text.contains(words), "{text}");
        }
        look(server, &mut metrics, 6).await;
        let text = told(&hearer).await;
        assert!(
            text.contains("*shop: restarts of web no longer above 1*"),
            "{text}"
        );
    });
    assert!(hearer.heard.try_recv().is_err(), "nothing else was to be told");
}

/// An instance ends by itself, and another one follows.
async fn crash(world: &World, server: &Server<'_>, app: AppId, restarts: u32) {
    let running = world.machine.running();
    world.machine.crash(running[0].id);
    let store = &server.application.platform.store;
    let deadline = Instant::now() + RESTARTS_WITHIN;
    let begin = jiff::Timestamp::UNIX_EPOCH;
    while store.restarts_since(app, "web", begin).await.unwrap() < restarts {
        assert!(Instant::now() < deadline, "it is not restarted");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    server.settle().await.unwrap();
}

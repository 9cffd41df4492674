//! Every route of the table × every kind of token.

use axum::http::{Method, StatusCode};
use mainstay_api::{CreateTokenRequest, TokenScope};
use mainstay_spec::ids::{AppId, DeploymentId};
use mainstay_testkit::Place;

use super::{
    access::Reach,
    routes,
    test_client::{answer, ask},
};
use crate::{app::Application, system::World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Stranger,
    Expired,
    Revoked,
    Reader,
    Writer,
    WriterOfTheApp,
    WriterOfAnother,
    Admin,
}

impl Who {
    /// Those who may do nothing come first: what the others do changes things.
    const ALL: [Self; 9] = [
        Self::Nobody,
        Self::Stranger,
        Self::Expired,
        Self::Revoked,
        Self::WriterOfAnother,
        Self::Reader,
        Self::WriterOfTheApp,
        Self::Writer,
        Self::Admin,
    ];

    /// The refusal that is due, written down apart from the code that gives it.
    fn refusal(self, needs: TokenScope, reach: Reach) -> Option<StatusCode> {
        let may = match (self, needs) {
            (Self::Nobody | Self::Stranger | Self::Expired | Self::Revoked, _) => {
                return Some(StatusCode::UNAUTHORIZED);
            }
            (Self::Admin, _) | (_, TokenScope::Read) => true,
            (Self::Reader, _) => false,
            (_, needs) => needs == TokenScope::Write,
        };
        let inside = match self {
            Self::WriterOfTheApp => reach != Reach::All,
            Self::WriterOfAnother => reach == Reach::Anybody,
            _ => true,
        };
        (!may || !inside).then_some(StatusCode::FORBIDDEN)
    }
}

async fn token(application: &Application, who: Who, app: AppId, other: AppId) -> Option<String> {
    let (scope, only) = match who {
        Who::Nobody => return None,
        Who::Stranger => return Some("mst_0000".into()),
        Who::Expired => return Some(application.expired_token().await),
        Who::Reader => (TokenScope::Read, None),
        Who::Writer => (TokenScope::Write, None),
        Who::WriterOfTheApp => (TokenScope::Write, Some(app)),
        Who::WriterOfAnother => (TokenScope::Write, Some(other)),
        Who::Admin | Who::Revoked => (TokenScope::Admin, None),
    };
    let request = CreateTokenRequest {
        name: format!("{who:?}"),
        scope,
        app_id: only.map(|id| id.to_string()).unwrap_or_default(),
        ..CreateTokenRequest::default()
    };
    let (row, secret) = application
        .create_token(&request)
        .await
        .expect("nothing is wrong");
    if who == Who::Revoked {
        application.revoke_token(&row.id).await.expect("it is there");
    }
    Some(secret)
}

fn filled(path: &str, app: AppId, deployment: DeploymentId) -> String {
    let part = |part: &str| match part {
        "{app_id}" | "{id}" => app.to_string(),
        "{deployment_id}" => deployment.to_string(),
        place if place.starts_with('{') => "00000000-0000-4000-8000-000000000000".into(),
        other => other.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_lets_through_whom_it_should_and_nobody_else() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let app = server.serving_app().await;
        let mut spec = server.world.good("1");
        spec.name = "other".into();
        let other = application
            .create_app(&spec)
            .await
            .expect("nothing is wrong")
            .view
            .app
            .id;
        let active = application.app(app).await.expect("it is there").active;
        let deployment = active.expect("it serves").id;
        let mut wrong = Vec::new();
        for who in Who::ALL {
            let token = token(application, who, app, other).await;
            let mut routes = routes::all();
            // Without the app some of the others would have nothing to be about.
            routes.sort_by_key(|route| route.method == Method::DELETE);
            for route in routes {
                // The app must outlive the walk; that its owner may delete it is told by the other methods of the path.
                let refusal = who.refusal(route.needs, route.reach);
                if route.method == Method::DELETE && refusal.is_none() && who != Who::Admin {
                    continue;
                }
                let path = filled(route.path, app, deployment);
                let status = ask(application, &route.method, &path, token.as_deref()).await;
                let denied = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
                if refusal.map_or(denied, |refusal| status != refusal) {
                    wrong.push(format!(
                        "{who:?} {} {path}: {status}, due {refusal:?}",
                        route.method
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let (changes, _) = application
            .changes_noted(crate::app::apps::Page {
                number: 1,
                size: 5000,
            })
            .await
            .expect("nothing is wrong");
        assert!(
            changes
                .iter()
                .any(|row| row.entry.action == format!("DELETE /v2/apps/{app}")
                    && row.entry.app == Some(app)
                    && row.entry.token_name == "Admin")
        );
        let asked_only =
            |row: &&mainstay_store::AuditRow| row.entry.action.starts_with("GET ") && row.entry.status < 400;
        assert!(
            changes
                .iter()
                .filter(asked_only)
                .all(|row| row.entry.action.ends_with("/exec")),
            "asking is no change"
        );
        let refused = |name: &str, status: u16| {
            changes
                .iter()
                .any(|row| row.entry.token_name == name && row.entry.status == status)
        };
        assert!(refused("Reader", 403), "{changes:#?}");
    });
    assert!(lived.is_some());
}

#[test]
fn a_store_that_cannot_be_written_to_can_still_be_read() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = application.first_token().await.expect("nothing is wrong");
        let token = token.expect("there was none");
        // The first use of a token is noted.
        world.refuse_next_commit();
        let status = ask(application, &Method::GET, "/v2/apps", Some(&token)).await;
        assert_eq!(status, StatusCode::OK);
        assert!(world.has_refused(), "nothing was to be stored");
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn who_asks_too_often_is_told_from_when_on_it_may_again() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0).with_requests_per_hour(2);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = application.first_token().await.expect("nothing is wrong");
        let token = token.expect("there was none");
        // The counts are the router's.
        let router = super::router(application.clone());
        let mut told = Vec::new();
        for token in [Some(&*token), Some(&*token), Some(&*token), None] {
            let answer = answer(&router, &Method::GET, "/v2/apps", token).await;
            let header = |name: &str| {
                answer
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().expect("text").to_owned())
            };
            assert_eq!(header("ratelimit-limit").as_deref(), Some("2"));
            let reset: i64 = header("ratelimit-reset")
                .expect("it is told")
                .parse()
                .expect("a number");
            let left = reset - jiff::Timestamp::now().as_second();
            assert!((3590..=3600).contains(&left), "{left}");
            assert_eq!(
                header("retry-after").is_some(),
                answer.status() == StatusCode::TOO_MANY_REQUESTS
            );
            told.push((
                answer.status().as_u16(),
                header("ratelimit-remaining").expect("it is told"),
            ));
        }
        let expected = [(200, "1"), (200, "0"), (429, "0"), (401, "1")];
        assert_eq!(told, expected.map(|(status, left)| (status, left.to_owned())));
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn who_asks_too_often_within_a_minute_is_told_how_long_to_wait() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0).with_requests_per_minute(1);
    let lived = world.live(async |server| {
        let router = super::router(server.application.clone());
        let mut told = Vec::new();
        for _ in 0..2 {
            let answer = answer(&router, &Method::GET, "/v2/apps", None).await;
            let wait = answer.headers().get("retry-after").map(|value| {
                let seconds = value.to_str().expect("text").parse::<u64>().expect("a number");
                (1..=60).contains(&seconds)
            });
            assert!(
                answer.headers().contains_key("ratelimit-remaining"),
                "that of the hour"
            );
            told.push((answer.status().as_u16(), wait));
        }
        assert_eq!(told, [(401, None), (429, Some(true))]);
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn guesses_at_tokens_are_noted_and_do_not_fill_the_log() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let router = super::router(application.clone());
        for _ in 0..50 {
            let answer = answer(&router, &Method::GET, "/v2/apps", Some("mst_guess")).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        }
        let page = crate::app::apps::Page { number: 1, size: 200 };
        let (noted, _) = application.changes_noted(page).await.expect("nothing is wrong");
        assert_eq!(noted.len(), 1, "{noted:#?}");
        let entry = &noted[0].entry;
        assert_eq!(
            (entry.action.as_str(), entry.status, entry.token.as_str()),
            ("GET /v2/apps", 401, "")
        );
    });
    assert!(lived.is_some(), "nothing kills this server");
}

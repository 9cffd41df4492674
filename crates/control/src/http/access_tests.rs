//! Every route of the table × every kind of token.

use axum::http::{Method, StatusCode};
use mainstay_api::{CreateTokenRequest, TokenScope};
use mainstay_spec::ids::{AccountId, AppId, UserId};
use mainstay_testkit::Place;

use super::{
    access::{Reach, Route},
    accounts_tests::{Things, owner_of_another_account},
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
    /// An owner, who may do everything there.
    OtherAccount,
    Admin,
}

impl Who {
    /// Those who may do nothing come first: what the others do changes things.
    const ALL: [Self; 10] = [
        Self::Nobody,
        Self::Stranger,
        Self::Expired,
        Self::Revoked,
        Self::WriterOfAnother,
        Self::OtherAccount,
        Self::Reader,
        Self::WriterOfTheApp,
        Self::Writer,
        Self::Admin,
    ];

    /// The refusal that is due, written down apart from the code that gives it.
    fn refusal(self, route: &Route) -> Option<StatusCode> {
        let (needs, reach) = (route.needs, route.reach);
        let may = match (self, needs) {
            (Self::Nobody | Self::Stranger | Self::Expired | Self::Revoked, _) => {
                return Some(StatusCode::UNAUTHORIZED);
            }
            (Self::Admin | Self::OtherAccount, _) | (_, TokenScope::Read) => true,
            (Self::Reader, _) => false,
            (_, needs) => needs == TokenScope::Write,
        };
        let inside = match self {
            Self::WriterOfTheApp => !matches!(reach, Reach::All | Reach::Account | Reach::Machine),
            Self::WriterOfAnother => reach == Reach::Anybody,
            Self::OtherAccount => reach != Reach::Machine,
            _ => true,
        };
        let is_about_somebodys = reach == Reach::AppInQuery || is_about_somebodys(route.path);
        if self == Self::OtherAccount && inside && is_about_somebodys {
            return Some(StatusCode::NOT_FOUND);
        }
        (!may || !inside).then_some(StatusCode::FORBIDDEN)
    }
}

/// What may stand in a path, and whether that is an account's. A place that is not told of here fails the test: it has to be thought of.
const PLACES: [(&str, bool); 15] = [
    ("{id}", true),
    ("{app_id}", true),
    ("{deployment_id}", true),
    ("{alert_id}", true),
    ("{event_id}", true),
    ("{component_name}", true),
    ("{job_name}", true),
    ("{job_invocation_id}", true),
    ("{database_name}", true),
    ("{backup_id}", true),
    ("{database_cluster_uuid}", true),
    ("{token_id}", true),
    ("{user}", true),
    ("{account}", true),
    // Of the original's catalogue, which is the same for everybody.
    ("{slug}", false),
];

fn is_about_somebodys(path: &str) -> bool {
    let mut places = path.split('/').filter(|part| part.starts_with('{'));
    let owned = |place: &str| {
        let known = PLACES.iter().find(|(known, _)| *known == place);
        known.unwrap_or_else(|| panic!("{path}: whose is {place}?")).1
    };
    places.any(owned)
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
        Who::OtherAccount => return Some(owner_of_another_account(application).await.1),
        Who::Admin | Who::Revoked => (TokenScope::Admin, None),
    };
    let request = CreateTokenRequest {
        name: format!("{who:?}"),
        scope,
        app_id: only.map(|id| id.to_string()).unwrap_or_default(),
        ..CreateTokenRequest::default()
    };
    let operator = application
        .user(AccountId::FIRST, &UserId::FIRST.to_string())
        .await;
    let operator = operator.expect("it is there");
    let (row, secret) = application
        .create_token(AccountId::FIRST, &operator, &request)
        .await
        .expect("nothing is wrong");
    if who == Who::Revoked {
        application
            .revoke_token(AccountId::FIRST, &row.id)
            .await
            .expect("it is there");
    }
    Some(secret)
}

/// What is about an app can only be of the account that has it if the guard looks at the app.
#[test]
fn the_guard_looks_at_every_app_that_a_path_names() {
    for route in routes::all() {
        let names = |place: &str| route.path.split('/').any(|part| part == place);
        let expected = if names("{app_id}") || names("{id}") {
            Reach::App
        } else if names("{deployment_id}") {
            Reach::Deployment
        } else {
            continue;
        };
        assert_eq!(route.reach, expected, "{} {}", route.method, route.path);
    }
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
            .create_app(AccountId::FIRST, &spec)
            .await
            .expect("nothing is wrong")
            .view
            .app
            .id;
        let things = Things::of(application, AccountId::FIRST, app).await;
        let router = super::router(application.clone());
        let mut wrong = Vec::new();
        for who in Who::ALL {
            let token = token(application, who, app, other).await;
            let mut routes = routes::all();
            // Without the app some of the others would have nothing to be about.
            routes.sort_by_key(|route| route.method == Method::DELETE);
            for route in routes {
                // The app must outlive the walk; that its owner may delete it is told by the other methods of the path.
                let refusal = who.refusal(&route);
                if route.method == Method::DELETE && refusal.is_none() && who != Who::Admin {
                    continue;
                }
                let path = things.asked(&route);
                let status = answer(&router, &route.method, &path, token.as_deref())
                    .await
                    .status();
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
            .changes_noted(
                AccountId::FIRST,
                crate::app::apps::Page {
                    number: 1,
                    size: 5000,
                },
            )
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
        let (noted, _) = application
            .changes_noted(AccountId::FIRST, page)
            .await
            .expect("nothing is wrong");
        assert_eq!(noted.len(), 1, "{noted:#?}");
        let entry = &noted[0].entry;
        assert_eq!(
            (entry.action.as_str(), entry.status, entry.token.as_str()),
            ("GET /v2/apps", 401, "")
        );
    });
    assert!(lived.is_some(), "nothing kills this server");
}

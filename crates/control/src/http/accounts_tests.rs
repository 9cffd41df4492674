//! Two accounts whose things have the same names: neither sees anything of the other, and each has its own limits and hosts.

use axum::{
    Router,
    http::{Method, StatusCode},
};
use mainstay_api::{CreateTokenRequest, CreateUserRequest, RegisterDatabaseRequest, TokenScope, UserRole};
use mainstay_spec::ids::{AccountId, AppId};
use mainstay_testkit::Place;
use serde_json::{Value, json};

use super::{
    access::{Reach, Route},
    routes,
    test_client::{answer, send},
};
use crate::{app::Application, system::World};

/// Something of each kind that an account may have, by id.
pub(super) struct Things {
    pub(super) app: AppId,
    deployment: String,
    cluster: String,
    user: String,
    token: String,
}

impl Things {
    /// Of an account with this app, which serves. A cluster, a user and a token are made.
    pub(super) async fn of(application: &Application, account: AccountId, app: AppId) -> Self {
        let active = application.app(app).await.expect("it is there").active;
        let cluster = RegisterDatabaseRequest {
            name: "main".into(),
            engine: "pg".into(),
            host: "db.example.com".into(),
            user: "shop".into(),
            unchecked: true,
            ..RegisterDatabaseRequest::default()
        };
        let cluster = application.register_cluster(account, cluster).await;
        let user = CreateUserRequest {
            email: "somebody@example.com".into(),
            ..CreateUserRequest::default()
        };
        let user = application
            .create_user(account, &user)
            .await
            .expect("nothing is wrong");
        let token = CreateTokenRequest {
            name: "somebody's".into(),
            scope: TokenScope::Read,
            ..CreateTokenRequest::default()
        };
        let token = application.create_token(account, &user, &token).await;
        Self {
            app,
            deployment: active.expect("it serves").id.to_string(),
            cluster: cluster.expect("nothing is wrong").row.id.to_string(),
            user: user.id.to_string(),
            token: token.expect("nothing is wrong").0.id,
        }
    }

    /// The path with these in its places.
    pub(super) fn filled(&self, path: &str) -> String {
        let part = |part: &str| match part {
            "{app_id}" | "{id}" => self.app.to_string(),
            "{deployment_id}" | "{event_id}" => self.deployment.clone(),
            "{database_cluster_uuid}" => self.cluster.clone(),
            "{user}" => self.user.clone(),
            "{token_id}" => self.token.clone(),
            "{component_name}" => "web".into(),
            place if place.starts_with('{') => "00000000-0000-4000-8000-000000000000".into(),
            other => other.to_owned(),
        };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    /// The path of the route with these in its places, and the query that it needs.
    pub(super) fn asked(&self, route: &Route) -> String {
        let path = self.filled(route.path);
        match route.reach {
            Reach::AppInQuery => format!("{path}?app_id={}&start=0&end=1", self.app),
            _ => path,
        }
    }

    fn ids(&self) -> [String; 5] {
        let [deployment, cluster, user, token] =
            [&self.deployment, &self.cluster, &self.user, &self.token].map(Clone::clone);
        [self.app.to_string(), deployment, cluster, user, token]
    }
}

/// A second account, and a token of an owner of it that may do everything there.
pub(super) async fn owner_of_another_account(application: &Application) -> (AccountId, String) {
    let account = application
        .create_account("acme")
        .await
        .expect("nothing is wrong");
    let owner = CreateUserRequest {
        email: "owner@example.com".into(),
        role: Some(UserRole::Owner),
        ..CreateUserRequest::default()
    };
    let owner = application.create_user(account.id, &owner).await;
    let token = CreateTokenRequest {
        name: "OtherAccount".into(),
        scope: TokenScope::Admin,
        ..CreateTokenRequest::default()
    };
    let made = application
        .create_token(account.id, &owner.expect("nothing is wrong"), &token)
        .await;
    (account.id, made.expect("nothing is wrong").1)
}

pub(super) async fn operator(application: &Application) -> String {
    let token = application.first_token().await.expect("nothing is wrong");
    token.expect("there was none")
}

#[test]
fn nothing_that_is_answered_mixes_accounts() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let operator = operator(application).await;
        let (acme, owner) = owner_of_another_account(application).await;
        let app = server.serving_app().await;
        let ours = Things::of(application, AccountId::FIRST, app).await;
        let app = server.serving_app_of(acme).await;
        let theirs = Things::of(application, acme, app).await;
        let router = super::router(application.clone());
        let mut seen = 0;
        for (token, own, other) in [(&operator, &ours, &theirs), (&owner, &theirs, &ours)] {
            for route in routes::all() {
                if route.method != Method::GET || route.reach == Reach::Machine {
                    continue;
                }
                let path = own.asked(&route);
                let answer = answer(&router, &Method::GET, &path, Some(token)).await;
                let body = axum::body::to_bytes(answer.into_body(), 16 << 20)
                    .await
                    .expect("whole");
                let body = String::from_utf8_lossy(&body);
                for id in other.ids() {
                    assert!(!body.contains(&id), "{path} tells of another account: {body}");
                }
                let lists = [
                    "/v2/apps",
                    "/v2/databases",
                    "/v2/mainstay/tokens",
                    "/v2/mainstay/users",
                ];
                if lists.contains(&route.path) {
                    seen += 1;
                    assert!(own.ids().iter().any(|id| body.contains(id)), "{path}: {body}");
                }
            }
        }
        assert_eq!(seen, 8, "each list has what is its account's");
        // By name, too.
        let (status, found) = send(&router, Method::GET, "/v2/apps/shop", &owner, &Value::Null).await;
        assert_eq!(
            (status, &found["app"]["id"]),
            (StatusCode::OK, &json!(theirs.app))
        );
        let path = "/v2/apps/x?name=shop";
        let (_, found) = send(&router, Method::GET, path, &operator, &Value::Null).await;
        assert_eq!(found["app"]["id"], json!(ours.app));
        // What stands in bodies is looked at as well.
        for (path, body) in [
            (
                "/v2/mainstay/tokens",
                json!({ "name": "t", "scope": "read", "app_id": ours.app }),
            ),
            (
                "/v2/mainstay/tokens",
                json!({ "name": "t", "scope": "read", "user": ours.user }),
            ),
            (
                "/v2/apps/propose",
                json!({ "spec": world.good("1"), "app_id": ours.app }),
            ),
        ] {
            let (status, told) = send(&router, Method::POST, path, &owner, &body).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {told}");
        }
    });
    assert!(lived.is_some(), "nothing kills this server");
}

/// Somebody with a token.
struct Asker {
    router: Router,
    token: String,
}

impl Asker {
    fn new(application: &Application, token: String) -> Self {
        let router = super::router(application.clone());
        Self { router, token }
    }

    async fn asks(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        send(&self.router, method, path, &self.token, &body).await
    }

    async fn gets(&self, path: &str) -> StatusCode {
        self.asks(Method::GET, path, Value::Null).await.0
    }

    /// Somebody else, whose token this one makes.
    async fn makes_token(&self, account: &str, user: &str, scope: &str) -> Self {
        let wish = json!({ "name": "made", "scope": scope, "user": user });
        let path = format!("/v2/mainstay/tokens?account={account}");
        let (status, made) = self.asks(Method::POST, &path, wish).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        Self {
            router: self.router.clone(),
            token: made["token"]["token"].as_str().expect("a secret").to_owned(),
        }
    }
}

#[test]
fn the_operator_makes_accounts_and_users_and_nobody_else_does() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let operator = Asker::new(application, operator(application).await);
        let name = json!({ "name": "acme" });
        let (status, made) = operator.asks(Method::POST, "/v2/mainstay/accounts", name).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        let users = "/v2/mainstay/users?account=acme";
        let ann = json!({ "email": "ann@acme.example", "role": "owner" });
        let (status, told) = operator.asks(Method::POST, users, ann).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        let ann = operator.makes_token("acme", "ann@acme.example", "admin").await;
        let (_, who) = ann.asks(Method::GET, "/v2/account", Value::Null).await;
        assert_eq!(who["account"]["email"], "ann@acme.example");
        assert_eq!(who["account"]["team"]["uuid"], made["account"]["id"]);

        // Within her account she does what she likes; the machine and other accounts are not hers.
        for (path, due) in [
            ("/v2/mainstay/users", StatusCode::OK),
            ("/v2/mainstay/audit?account=acme", StatusCode::OK),
            ("/v2/mainstay/accounts", StatusCode::FORBIDDEN),
            ("/v2/mainstay/users?account=operators", StatusCode::NOT_FOUND),
            ("/v2/mainstay/users?account=nobody", StatusCode::NOT_FOUND),
            ("/v2/mainstay/audit?account=operators", StatusCode::NOT_FOUND),
            (
                "/v2/mainstay/audit?account=acme&account=operators",
                StatusCode::BAD_REQUEST,
            ),
        ] {
            assert_eq!(ann.gets(path).await, due, "{path}");
        }
        let limits = "/v2/mainstay/limits";
        let (_, told) = ann.asks(Method::GET, limits, Value::Null).await;
        assert!(!told.to_string().contains("\"node\""), "{told}");
        let (_, told) = operator.asks(Method::GET, limits, Value::Null).await;
        assert!(told.to_string().contains("\"node\""), "{told}");

        // She hears of what the operator did in her account.
        let (_, audit) = ann.asks(Method::GET, "/v2/mainstay/audit", Value::Null).await;
        let entries = audit["audit"].as_array().expect("a list");
        assert!(
            entries
                .iter()
                .all(|entry| entry["account_id"] == made["account"]["id"])
        );
        assert!(
            entries
                .iter()
                .any(|entry| entry["user_email"] == "operator@localhost"
                    && entry["action"] == "POST /v2/mainstay/tokens"),
            "{audit}"
        );
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn a_token_may_do_no_more_than_its_user() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let owner = Asker::new(application, owner_of_another_account(application).await.1);
        let bob = json!({ "email": "bob@example.com", "name": "Bob" });
        let (status, told) = owner.asks(Method::POST, "/v2/mainstay/users", bob).await;
        assert_eq!(
            (status, &told["user"]["role"]),
            (StatusCode::OK, &json!("member"))
        );
        let admin = json!({ "name": "b", "scope": "admin", "user": "bob@example.com" });
        let (status, _) = owner.asks(Method::POST, "/v2/mainstay/tokens", admin).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let bob = owner.makes_token("acme", "bob@example.com", "write").await;
        assert_eq!(bob.gets("/v2/apps").await, StatusCode::OK);
        assert_eq!(bob.gets("/v2/mainstay/users").await, StatusCode::FORBIDDEN);
        let path = "/v2/mainstay/users/bob@example.com";
        let (status, told) = owner.asks(Method::DELETE, path, Value::Null).await;
        assert_eq!(status, StatusCode::CONFLICT, "{told}");
        owner.asks(Method::PUT, path, json!({ "disabled": true })).await;
        assert_eq!(bob.gets("/v2/apps").await, StatusCode::UNAUTHORIZED);
        let back = json!({ "disabled": false, "role": "owner" });
        owner.asks(Method::PUT, path, back).await;
        assert_eq!(bob.gets("/v2/apps").await, StatusCode::OK);

        // An owner who becomes a member may no longer do what the token was made for.
        assert_eq!(owner.gets("/v2/mainstay/users").await, StatusCode::OK);
        let path = "/v2/mainstay/users/owner@example.com";
        owner.asks(Method::PUT, path, json!({ "role": "member" })).await;
        assert_eq!(owner.gets("/v2/mainstay/users").await, StatusCode::FORBIDDEN);
        assert_eq!(owner.gets("/v2/apps").await, StatusCode::OK);
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn the_operators_account_stays_and_has_an_owner() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let operator = Asker::new(application, operator(application).await);
        let owner = Asker::new(application, owner_of_another_account(application).await.1);
        let own = "/v2/mainstay/users/operator@localhost";
        for wish in [json!({ "disabled": true }), json!({ "role": "member" })] {
            let (status, told) = operator.asks(Method::PUT, own, wish).await;
            assert_eq!(status, StatusCode::CONFLICT, "{told}");
        }
        for (account, due) in [("operators", StatusCode::CONFLICT), ("acme", StatusCode::OK)] {
            let path = format!("/v2/mainstay/accounts/{account}");
            let (status, told) = operator.asks(Method::DELETE, &path, Value::Null).await;
            assert_eq!(status, due, "{told}");
        }
        assert_eq!(owner.gets("/v2/account").await, StatusCode::UNAUTHORIZED);
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn a_name_may_be_there_in_two_accounts_and_a_host_in_one() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let operator = operator(application).await;
        let (acme, owner) = owner_of_another_account(application).await;
        let ours = server.serving_app().await;
        let theirs = server.serving_app_of(acme).await;
        let router = super::router(application.clone());
        let host = async |app: AppId, token: &str| {
            let path = format!("/v2/apps/{app}");
            let (_, found) = send(&router, Method::GET, &path, token, &Value::Null).await;
            found["app"]["live_domain"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(host(ours, &operator).await, "shop.localhost");
        let suffix = &theirs.as_uuid().simple().to_string()[..5];
        assert_eq!(host(theirs, &owner).await, format!("shop-{suffix}.localhost"));

        // Whoever has a host first keeps it; the other is not told who that is.
        let mut spec = world.good("2");
        spec.domains.push(mainstay_spec::Domain {
            domain: "www.example.com".into(),
            ..mainstay_spec::Domain::default()
        });
        let update = |app: AppId| (format!("/v2/apps/{app}"), json!({ "spec": &spec }));
        let (path, body) = update(ours);
        let (status, told) = send(&router, Method::PUT, &path, &operator, &body).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        let (path, body) = update(theirs);
        let (status, told) = send(&router, Method::PUT, &path, &owner, &body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{told}");
        let message = told["message"].as_str().expect("a sentence");
        assert!(message.contains("www.example.com"), "{message}");
        assert!(
            !message.contains("shop") && !message.contains("operators"),
            "{message}"
        );

        // An account may be given less than others have.
        let limits = json!({ "limits": [{ "resource": "apps", "limit": 1 }] });
        let path = "/v2/mainstay/accounts/acme/limits";
        let (status, told) = send(&router, Method::PUT, path, &operator, &limits).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        assert_eq!(told["limits"][0]["overridden"], true, "{told}");
        let mut second = world.good("1");
        second.name = "second".into();
        let body = json!({ "spec": second });
        let (status, told) = send(&router, Method::POST, "/v2/apps", &owner, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
        let (status, told) = send(&router, Method::POST, "/v2/apps", &operator, &body).await;
        assert_eq!(status, StatusCode::OK, "{told}");
    });
    assert!(lived.is_some(), "nothing kills this server");
}

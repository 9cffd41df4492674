//! Who may do what: the one place where a request is let through or not. What no entry of the table allows is refused.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Query, Request, State},
    http::{Method, StatusCode, Uri, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use jiff::Timestamp;
use mainstay_api::TokenScope;
use mainstay_spec::ids::{AccountId, AppId};
use mainstay_store::NewAuditEntry;
use serde::Deserialize;

use super::{
    ApiError,
    accounts::{AccountQuery, Meant},
    apps,
    openapi::Operation,
    rate::{Asker, Rate},
};
use crate::{
    app::{Application, Refusal, tokens::Access},
    listen::Origin,
};

/// Where the query may name the app.
const APP_PATH: &str = "/v2/apps/{id}";
/// Longer paths lead nowhere.
const PATH_NOTED_MAX: usize = 300;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The app that the path names, by id or name.
    App,
    /// The app that the query names as `app_id`.
    AppInQuery,
    /// The deployment that the path names.
    Deployment,
    /// Nothing in particular: tokens for one app may ask too.
    Anybody,
    /// Everything that the account has: not for tokens for one app.
    All,
    /// The same of the account that the query names, if it names one: the operator may ask about others.
    Account,
    /// Everything on the machine: the operator's.
    Machine,
}

/// Of [`Reach::AppInQuery`].
#[derive(Debug, Deserialize)]
struct AppQuery {
    app_id: Option<String>,
}

/// The app that a call is about, which is of the account that asks. Handlers of paths with an app find it in the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnApp(pub AppId);

/// One method of one path.
pub(crate) struct Route {
    pub method: Method,
    pub path: &'static str,
    pub needs: TokenScope,
    pub reach: Reach,
    pub handler: MethodRouter<Application>,
    /// For the description.
    pub operation: Operation,
}

type Rule = (TokenScope, Reach);

/// The table without its handlers.
#[derive(Debug, Clone)]
pub(crate) struct Rules(Arc<HashMap<(Method, &'static str), Rule>>);

impl Rules {
    pub(crate) fn of(routes: &[Route]) -> Self {
        let rule = |route: &Route| ((route.method.clone(), route.path), (route.needs, route.reach));
        Self(Arc::new(routes.iter().map(rule).collect()))
    }

    fn find(&self, method: &Method, path: &str) -> Option<Rule> {
        // axum answers HEAD as GET.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let known: &HashMap<(Method, &str), Rule> = &self.0;
        known.get(&(method.clone(), path)).copied()
    }

    /// For the header of the same name.
    fn allow(&self, path: &str) -> String {
        let of_path = self.0.keys().filter(|(_, other)| *other == path);
        let mut methods: Vec<&str> = of_path.map(|(method, _)| method.as_str()).collect();
        methods.sort_unstable();
        methods.join(", ")
    }
}

/// What the guard decides by.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub application: Application,
    pub rules: Rules,
    pub rate: Rate,
}

pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let now = Timestamp::now();
    let known = match guard.known(&asked).await {
        Ok(known) => known,
        Err(error) => return error.into_response(),
    };
    let asker = match &known {
        Some(access) => Asker::Token(access.token.clone()),
        None => Asker::Address(asked.origin),
    };
    let standing = guard.rate.count(&asker, now);
    let within = standing.is_within();
    let admitted = if within {
        guard.admit(&asked, known.as_ref()).await
    } else {
        Err(ApiError::too_many_requests())
    };
    let response = match admitted {
        Ok(Admitted {
            access,
            app,
            meant,
            needs,
        }) => {
            let is_noted = asked.changes() || needs == TokenScope::Write;
            let entry = is_noted.then(|| asked.entry(Some(&access), app, now));
            let other = meant.filter(|meant| *meant != access.account);
            if let Some(meant) = meant {
                request.extensions_mut().insert(Meant(meant));
            }
            request.extensions_mut().insert(access);
            if let Some(app) = app {
                request.extensions_mut().insert(OnApp(app));
            }
            let response = next.run(request).await;
            if let Some(entry) = entry {
                if let Some(account) = other {
                    // Those whose account it is hear of what the operator did there.
                    let entry = NewAuditEntry {
                        account,
                        ..entry.clone()
                    };
                    note(&guard.application, entry, response.status()).await;
                }
                note(&guard.application, entry, response.status()).await;
            }
            response
        }
        Err(refused) => {
            let response = refused.into_response();
            // Of a token that asks too often, the calls before tell enough; and who asks for what is not there has changed nothing.
            let is_noted = within && (asked.changes() || response.status() != StatusCode::NOT_FOUND);
            if is_noted && (known.is_some() || guard.rate.is_refusal_due(&asker, now)) {
                let entry = asked.entry(known.as_ref(), None, now);
                note(&guard.application, entry, response.status()).await;
            }
            response
        }
    };
    standing.tell(response, now)
}

/// What of a request decides; apart from its body, which no other task may look at.
struct Asked {
    method: Method,
    secret: Option<String>,
    /// The path as the table has it; empty where no route fits.
    pattern: String,
    path: String,
    uri: Uri,
    origin: IpAddr,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let secret = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let pattern = request.extensions().get::<MatchedPath>();
        let origin = request.extensions().get::<ConnectInfo<Origin>>();
        Self {
            method: request.method().clone(),
            secret: secret.map(str::to_owned),
            pattern: pattern.map_or("", MatchedPath::as_str).to_owned(),
            path: request.uri().path().to_owned(),
            uri: request.uri().clone(),
            origin: origin.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.address.ip()),
        }
    }

    /// What the call says of its app or deployment.
    fn named(&self, reach: Reach) -> Option<String> {
        let places: &[&str] = match reach {
            Reach::App => &["{app_id}", "{id}"],
            Reach::Deployment => &["{deployment_id}"],
            Reach::AppInQuery => {
                let query = Query::<AppQuery>::try_from_uri(&self.uri).ok();
                let named = query.and_then(|Query(query)| query.app_id);
                return named.filter(|named| !named.is_empty());
            }
            Reach::Anybody | Reach::All | Reach::Account | Reach::Machine => &[],
        };
        let mut parts = self.pattern.split('/').zip(self.path.split('/'));
        let (_, named) = parts.find(|(part, _)| places.contains(part))?;
        // The original lets a name be asked for in the query.
        if self.pattern == APP_PATH && !self.changes() && named.parse::<AppId>().is_err() {
            let query = Query::<apps::GetQuery>::try_from_uri(&self.uri).ok();
            let by_name = query.and_then(|Query(query)| query.name);
            return Some(by_name.unwrap_or_else(|| named.to_owned()));
        }
        Some(named.to_owned())
    }

    /// That the query names.
    fn account(&self) -> Result<Option<String>, ApiError> {
        let query = Query::<AccountQuery>::try_from_uri(&self.uri);
        let Query(query) = query.map_err(|refused| ApiError::bad_request(refused.body_text()))?;
        Ok(query.account)
    }

    fn changes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    fn entry(&self, access: Option<&Access>, app: Option<AppId>, at: Timestamp) -> NewAuditEntry {
        let path: String = self.path.chars().take(PATH_NOTED_MAX).collect();
        NewAuditEntry {
            at,
            // What nobody's token tried is the operator's business.
            account: access.map_or(AccountId::FIRST, |access| access.account),
            user: access.map(|access| access.user.to_string()).unwrap_or_default(),
            user_name: access.map(|access| access.email.clone()).unwrap_or_default(),
            token: access.map(|access| access.token.clone()).unwrap_or_default(),
            token_name: access.map(|access| access.name.clone()).unwrap_or_default(),
            action: format!("{} {path}", self.method),
            app,
            status: 0,
            origin: self.origin.to_string(),
        }
    }
}

/// Who may go on, and what the call is about.
struct Admitted {
    access: Access,
    app: Option<AppId>,
    /// Of [`Reach::Account`].
    meant: Option<AccountId>,
    needs: TokenScope,
}

impl Guard {
    /// Whose token it is; `None` when it is nobody's.
    async fn known(&self, asked: &Asked) -> Result<Option<Access>, ApiError> {
        match &asked.secret {
            Some(secret) => Ok(self.application.authenticate(secret).await?),
            None => Ok(None),
        }
    }

    async fn admit(&self, asked: &Asked, known: Option<&Access>) -> Result<Admitted, ApiError> {
        let access = known.cloned().ok_or_else(ApiError::unauthorized)?;
        let (needs, reach) = self
            .rules
            .find(&asked.method, &asked.pattern)
            .ok_or_else(|| ApiError::method_not_allowed().allowing(self.rules.allow(&asked.pattern)))?;
        if rank(access.scope) < rank(needs) {
            return Err(ApiError::forbidden(format!(
                "this token may {}; the call needs one that may {needs}",
                access.scope
            )));
        }
        if reach == Reach::Machine && !access.is_operator() {
            return Err(ApiError::forbidden("this is for the operator of the machine"));
        }
        if reach == Reach::AppInQuery && asked.named(reach).is_none() {
            return Err(ApiError::bad_request(
                "app_id is missing: it must be the id of an app",
            ));
        }
        let app = self.app_of(asked, access.account, reach).await?;
        let is_inside = match (access.app, reach) {
            (None, _) | (Some(_), Reach::Anybody) => true,
            (Some(_), Reach::All | Reach::Account | Reach::Machine) => false,
            (Some(own), Reach::App | Reach::AppInQuery | Reach::Deployment) => app == Some(own),
        };
        if !is_inside {
            return Err(ApiError::other_app());
        }
        // Another account's is not there, as one that does not exist.
        if app.is_none() && matches!(reach, Reach::App | Reach::AppInQuery | Reach::Deployment) {
            return Err(ApiError::not_found());
        }
        let meant = match reach {
            Reach::Account => Some(
                self.application
                    .account_meant(&access, asked.account()?.as_deref())
                    .await?,
            ),
            _ => None,
        };
        Ok(Admitted {
            access,
            app,
            meant,
            needs,
        })
    }

    /// The app that a call is about, if the account has it and it is not being deleted.
    async fn app_of(
        &self,
        asked: &Asked,
        account: AccountId,
        reach: Reach,
    ) -> Result<Option<AppId>, Refusal> {
        let store = &self.application.platform.store;
        let Some(named) = asked.named(reach) else {
            return Ok(None);
        };
        let id = match (reach, named.parse::<AppId>()) {
            (Reach::App | Reach::AppInQuery, Ok(id)) => Some(id),
            (Reach::App | Reach::AppInQuery, Err(_)) => {
                store.app_by_name(account, &named).await?.map(|app| app.id)
            }
            _ => match named.parse() {
                Ok(id) => store.deployment(id).await?.map(|row| row.app),
                Err(_) => None,
            },
        };
        Ok(match id {
            Some(id) if store.has_app(account, id).await? => Some(id),
            _ => None,
        })
    }
}

/// What a word that this version does not know may do is nothing.
fn rank(scope: TokenScope) -> u8 {
    match scope {
        TokenScope::Unknown => 0,
        TokenScope::Read => 1,
        TokenScope::Write => 2,
        TokenScope::Admin => 3,
    }
}

/// The change is made: that it cannot be noted is told to the operator, not to who made it.
async fn note(application: &Application, entry: NewAuditEntry, status: StatusCode) {
    let entry = NewAuditEntry {
        status: status.as_u16(),
        ..entry
    };
    if let Err(error) = application.note_change(&entry).await {
        tracing::error!(
            action = entry.action,
            error = &error as &dyn std::error::Error,
            "could not note a change"
        );
    }
}

//! Who may do what: the one place where a request is let through or not. What no entry of the table allows is refused.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use jiff::Timestamp;
use mainstay_api::TokenScope;
use mainstay_spec::ids::AppId;
use mainstay_store::NewAuditEntry;

use super::{ApiError, openapi::Operation};
use crate::app::{Application, Refusal, tokens::Access};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The app that the path names, by id or name.
    App,
    /// The deployment that the path names.
    Deployment,
    /// Nothing in particular: tokens for one app may ask too.
    Anybody,
    /// Everything there is: not for tokens for one app.
    All,
}

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

pub(crate) async fn guard(
    State((application, rules)): State<(Application, Rules)>,
    request: Request,
    next: Next,
) -> Response {
    match admit(&application, &rules, request).await {
        Ok((request, access, app)) => {
            let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
            let asked = changes.then(|| entry(&request, &access, app));
            let response = next.run(request).await;
            if let Some(entry) = asked {
                note(&application, entry, response.status().as_u16()).await;
            }
            response
        }
        Err(refused) => refused.into_response(),
    }
}

/// What of a request decides; apart from its body, which no other task may look at.
struct Asked {
    method: Method,
    secret: Option<String>,
    /// The path as the table has it; empty where no route fits.
    pattern: String,
    path: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let secret = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let pattern = request.extensions().get::<MatchedPath>();
        Self {
            method: request.method().clone(),
            secret: secret.map(str::to_owned),
            pattern: pattern.map_or("", MatchedPath::as_str).to_owned(),
            path: request.uri().path().to_owned(),
        }
    }
}

/// The request with who asks in it, and the app that it is about.
async fn admit(
    application: &Application,
    rules: &Rules,
    mut request: Request,
) -> Result<(Request, Access, Option<AppId>), ApiError> {
    let asked = Asked::of(&request);
    let access = match &asked.secret {
        Some(secret) => application.authenticate(secret).await?,
        None => None,
    };
    let access = access.ok_or_else(ApiError::unauthorized)?;
    let (needs, reach) = rules
        .find(&asked.method, &asked.pattern)
        .ok_or_else(|| ApiError::method_not_allowed().allowing(rules.allow(&asked.pattern)))?;
    if rank(access.scope) < rank(needs) {
        return Err(ApiError::forbidden(format!(
            "this token may {}; the call needs one that may {needs}",
            access.scope
        )));
    }
    let app = app_of(application, reach, &asked.pattern, &asked.path).await?;
    let is_inside = match (access.app, reach) {
        (None, _) | (Some(_), Reach::Anybody) => true,
        (Some(_), Reach::All) => false,
        (Some(own), Reach::App | Reach::Deployment) => app == Some(own),
    };
    if !is_inside {
        return Err(ApiError::other_app());
    }
    request.extensions_mut().insert(access.clone());
    Ok((request, access, app))
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

async fn app_of(
    application: &Application,
    reach: Reach,
    pattern: &str,
    path: &str,
) -> Result<Option<AppId>, Refusal> {
    let place = match reach {
        Reach::App => ["{app_id}", "{id}"],
        Reach::Deployment => ["{deployment_id}", ""],
        Reach::Anybody | Reach::All => return Ok(None),
    };
    let named = pattern
        .split('/')
        .zip(path.split('/'))
        .find(|(part, _)| place.contains(part) && !part.is_empty());
    let Some((_, name)) = named else {
        return Ok(None);
    };
    let store = &application.platform.store;
    Ok(match (reach, name.parse::<AppId>()) {
        (Reach::App, Ok(id)) => Some(id),
        (Reach::App, Err(_)) => store.app_by_name(name).await?.map(|app| app.id),
        _ => match name.parse() {
            Ok(id) => store.deployment(id).await?.map(|row| row.app),
            Err(_) => None,
        },
    })
}

fn entry(request: &Request, access: &Access, app: Option<AppId>) -> NewAuditEntry {
    let origin = request.extensions().get::<ConnectInfo<SocketAddr>>();
    NewAuditEntry {
        at: Timestamp::now(),
        token: access.token.clone(),
        token_name: access.name.clone(),
        action: format!("{} {}", request.method(), request.uri().path()),
        app,
        status: 0,
        origin: origin.map(|info| info.0.ip().to_string()).unwrap_or_default(),
    }
}

/// The change is made: that it cannot be noted is told to the operator, not to who made it.
async fn note(application: &Application, entry: NewAuditEntry, status: u16) {
    let entry = NewAuditEntry { status, ..entry };
    if let Err(error) = application.note_change(&entry).await {
        tracing::error!(
            action = entry.action,
            error = &error as &dyn std::error::Error,
            "could not note a change"
        );
    }
}

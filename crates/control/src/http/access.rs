//! Who may do what: the one place where a request is let through or not. What no entry of the table allows is refused.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use jiff::Timestamp;
use mainstay_api::TokenScope;
use mainstay_spec::ids::AppId;
use mainstay_store::NewAuditEntry;

use super::{
    ApiError,
    openapi::Operation,
    rate::{Asker, Rate},
};
use crate::{
    app::{Application, Refusal, tokens::Access},
    listen::Origin,
};

/// Longer paths lead nowhere.
const PATH_NOTED_MAX: usize = 300;

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
        Ok(Admitted { access, app, needs }) => {
            let is_noted = asked.changes() || needs == TokenScope::Write;
            let entry = is_noted.then(|| asked.entry(Some(&access), app, now));
            request.extensions_mut().insert(access);
            let response = next.run(request).await;
            if let Some(entry) = entry {
                note(&guard.application, entry, response.status()).await;
            }
            response
        }
        Err(refused) => {
            let response = refused.into_response();
            // Of a token that asks too often, the calls before tell enough.
            if within && (known.is_some() || guard.rate.is_refusal_due(&asker, now)) {
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
            origin: origin.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.address.ip()),
        }
    }

    fn changes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    fn entry(&self, access: Option<&Access>, app: Option<AppId>, at: Timestamp) -> NewAuditEntry {
        let path: String = self.path.chars().take(PATH_NOTED_MAX).collect();
        NewAuditEntry {
            at,
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
        let app = app_of(&self.application, reach, &asked.pattern, &asked.path).await?;
        let is_inside = match (access.app, reach) {
            (None, _) | (Some(_), Reach::Anybody) => true,
            (Some(_), Reach::All) => false,
            (Some(own), Reach::App | Reach::Deployment) => app == Some(own),
        };
        if !is_inside {
            return Err(ApiError::other_app());
        }
        Ok(Admitted { access, app, needs })
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

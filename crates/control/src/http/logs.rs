//! Logs: links to what is kept and to what is being written (`app-platform.md` b.3).

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt};
use mainstay_api::{LogFrame, LogType, LogsQuery, LogsResponse};
use mainstay_spec::ids::{AppId, DeploymentId};

use super::{
    ApiError,
    console::{self, OpenQuery, Opener},
    extract::{Path, Query, base_url},
    websocket::good_end,
};
use crate::{
    app::{
        Application,
        links::{Link, LogKind, LogWish},
    },
    listen::Origin,
};

fn kind(query: &LogsQuery) -> Result<LogKind, ApiError> {
    match query.r#type {
        LogType::Build => Ok(LogKind::Build),
        LogType::Deploy => Ok(LogKind::Deploy),
        LogType::Run | LogType::Unspecified => Ok(LogKind::Run),
        LogType::RunRestarted => Ok(LogKind::RunRestarted),
        LogType::AutoscaleEvent | LogType::JobInvocation => Err(ApiError::bad_request(format!(
            "type is {}; this version keeps BUILD, DEPLOY, RUN and RUN_RESTARTED logs, and those of job invocations",
            query.r#type.as_str()
        ))),
    }
}

type Answer = Result<Json<LogsResponse>, ApiError>;

pub(crate) async fn of_app(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Answer {
    links(&application, app, None, None, &query, &headers).await
}

pub(crate) async fn of_component(
    State(application): State<Application>,
    Path((app, component)): Path<(AppId, String)>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Answer {
    links(&application, app, None, Some(component), &query, &headers).await
}

pub(crate) async fn of_deployment(
    State(application): State<Application>,
    Path((app, deployment)): Path<(AppId, DeploymentId)>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Answer {
    links(&application, app, Some(deployment), None, &query, &headers).await
}

pub(crate) async fn of_deployment_component(
    State(application): State<Application>,
    Path((app, deployment, component)): Path<(AppId, DeploymentId, String)>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Answer {
    links(
        &application,
        app,
        Some(deployment),
        Some(component),
        &query,
        &headers,
    )
    .await
}

async fn links(
    application: &Application,
    app: AppId,
    deployment: Option<DeploymentId>,
    component: Option<String>,
    query: &LogsQuery,
    headers: &HeaderMap,
) -> Answer {
    let named = query.component_name.as_ref().filter(|name| !name.is_empty());
    let component = component.or_else(|| named.cloned());
    let tail = query.tail().and_then(|lines| usize::try_from(lines).ok());
    let wish = application
        .log_wish(app, deployment, component, kind(query)?, query.follow, tail)
        .await?;
    Ok(Json(answer(application, wish, headers)))
}

/// Links to what is kept and, if asked for, to what is being written.
pub(super) fn answer(application: &Application, wish: LogWish, headers: &HeaderMap) -> LogsResponse {
    let base = base_url(headers);
    let link = |wish: LogWish| {
        format!(
            "{base}/v2/mainstay/links/{}",
            application.links.make(Link::Logs(wish))
        )
    };
    let historic_urls = vec![link(LogWish {
        follow: false,
        ..wish.clone()
    })];
    let live_url = if wish.follow { link(wish) } else { String::new() };
    LogsResponse {
        live_url,
        historic_urls,
    }
}

/// Opens a link: a console or live logs by websocket, logs also as a plain stream.
pub(crate) async fn open_link(
    State(application): State<Application>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let link = application.links.open(&secret).ok_or_else(ApiError::not_found)?;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (mut parts, _) = request.into_parts();
    let origin = parts.extensions.get::<ConnectInfo<Origin>>();
    let origin = origin
        .map(|info| info.0.address.ip().to_string())
        .unwrap_or_default();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &application)
        .await
        .ok();
    match (link, upgrade) {
        (Link::Exec { instance, app, by }, Some(upgrade)) => {
            let opener = Opener {
                instance,
                app,
                by,
                origin,
            };
            console::open(application, &opener, OpenQuery::parse(&query), upgrade).await
        }
        (Link::Exec { .. }, None) => Err(ApiError::bad_request("a console is opened by websocket")),
        (Link::Logs(wish), Some(upgrade)) => Ok(live(application, wish, upgrade)),
        (Link::Logs(wish), None) => plain(application, wish).await,
    }
}

fn live(application: Application, wish: LogWish, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let (mut to_client, mut from_client) = socket.split();
        let mut entries = std::pin::pin!(application.follow_logs(wish));
        loop {
            tokio::select! {
                entry = entries.next() => {
                    let Some(entry) = entry else { break };
                    let frame = LogFrame { data: entry.text() };
                    let frame = serde_json::to_string(&frame).unwrap_or_default();
                    if to_client.send(Message::Text(frame.into())).await.is_err() {
                        return;
                    }
                }
                message = from_client.next() => {
                    if matches!(message, None | Some(Err(_) | Ok(Message::Close(_)))) {
                        return;
                    }
                }
            }
        }
        drop(to_client.send(good_end()).await);
    })
}

async fn plain(application: Application, wish: LogWish) -> Result<Response, ApiError> {
    let body = if wish.follow {
        let entries = application.follow_logs(wish);
        Body::from_stream(entries.map(|entry| Ok::<_, std::convert::Infallible>(entry.text())))
    } else {
        let entries = application.read_logs(&wish).await?;
        Body::from(
            entries
                .iter()
                .map(crate::app::log_reading::Entry::text)
                .collect::<String>(),
        )
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

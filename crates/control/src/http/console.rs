//! Consoles over websockets (`app-platform.md` b.3).

use axum::{
    Extension, Json,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use mainstay_api::ExecResponse;
use mainstay_diagnosis::facts::Termination;
use mainstay_engine::{ExecInput, ExecOutput, ExecSession};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use mainstay_store::NewAuditEntry;
use serde::Deserialize;
use serde_json::json;

use super::{
    ApiError,
    extract::{Path, Query, base_url},
    websocket::good_end,
};
use crate::app::{Application, links::Link, tokens::Access};

const TERMINAL: (u16, u16) = (80, 24);
const PROGRAM_NOTED_MAX: usize = 100;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct LinkQuery {
    /// `instance_name` or `instance_alias` of the list of instances; one that runs, if not given.
    instance_name: Option<String>,
}

/// How a console is opened; all of it ours, the original has none.
#[derive(Debug, Default)]
pub(crate) struct OpenQuery {
    /// `command`, repeated: the words to run. Without any: a login shell.
    pub command: Vec<String>,
    /// `tty=false`: no terminal, stdout and stderr apart.
    pub without_terminal: bool,
}

impl OpenQuery {
    pub(crate) fn parse(query: &str) -> Self {
        let mut open = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (key.as_ref(), value.as_ref()) {
                ("command", word) => open.command.push(word.to_owned()),
                ("tty", "false") => open.without_terminal = true,
                _ => {}
            }
        }
        open
    }
}

/// What clients send.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Stdin { data: String },
    Resize { width: u16, height: u16 },
    CloseStdin,
}

pub(crate) async fn link(
    State(application): State<Application>,
    Extension(by): Extension<Access>,
    Path((app, component)): Path<(AppId, String)>,
    Query(query): Query<LinkQuery>,
    headers: HeaderMap,
) -> Result<Json<ExecResponse>, ApiError> {
    make_link(&application, by, app, None, &component, &query, &headers).await
}

pub(crate) async fn link_of_deployment(
    State(application): State<Application>,
    Extension(by): Extension<Access>,
    Path((app, deployment, component)): Path<(AppId, DeploymentId, String)>,
    Query(query): Query<LinkQuery>,
    headers: HeaderMap,
) -> Result<Json<ExecResponse>, ApiError> {
    make_link(
        &application,
        by,
        app,
        Some(deployment),
        &component,
        &query,
        &headers,
    )
    .await
}

async fn make_link(
    application: &Application,
    by: Access,
    app: AppId,
    deployment: Option<DeploymentId>,
    component: &str,
    query: &LinkQuery,
    headers: &HeaderMap,
) -> Result<Json<ExecResponse>, ApiError> {
    // Clients send an empty name for none.
    let name = query.instance_name.as_deref().filter(|name| !name.is_empty());
    let instance = application
        .console_instance(app, deployment, component, name)
        .await?;
    let secret = application.links.make(Link::Exec { instance, app, by });
    let url = format!(
        "{}/v2/mainstay/links/{secret}",
        base_url(headers).replacen("http", "ws", 1)
    );
    Ok(Json(ExecResponse { url }))
}

/// Whose link was opened, from where, to which instance.
#[derive(Debug)]
pub(crate) struct Opener {
    pub instance: InstanceId,
    pub app: AppId,
    pub by: Access,
    pub origin: String,
}

fn opened(query: &OpenQuery, opener: &Opener) -> NewAuditEntry {
    // Arguments may be secrets: the program is enough.
    let program = query.command.first().map_or("a shell", String::as_str);
    let program: String = program.chars().take(PROGRAM_NOTED_MAX).collect();
    NewAuditEntry {
        at: Timestamp::now(),
        account: opener.by.account,
        user: opener.by.user.to_string(),
        user_name: opener.by.email.clone(),
        token: opener.by.token.clone(),
        token_name: opener.by.name.clone(),
        action: format!("EXEC {program} in instance {}", opener.instance),
        app: Some(opener.app),
        status: StatusCode::SWITCHING_PROTOCOLS.as_u16(),
        origin: opener.origin.clone(),
    }
}

/// Upgrades to the console of the instance.
pub(crate) async fn open(
    application: Application,
    opener: &Opener,
    query: OpenQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let session = begin(&application, opener, query).await?;
    Ok(upgrade.on_upgrade(|socket| serve(socket, session)))
}

/// What cannot be noted is not begun: a console may do everything that the app may.
async fn begin(
    application: &Application,
    opener: &Opener,
    query: OpenQuery,
) -> Result<ExecSession, ApiError> {
    let terminal = (!query.without_terminal).then_some(TERMINAL);
    let note = opened(&query, opener);
    application.note_change(&note).await?;
    let begun = application
        .open_console(opener.instance, query.command, terminal)
        .await;
    match begun {
        Ok(session) => Ok(session),
        Err(refusal) => {
            let refused = ApiError::from(refusal);
            let failed = NewAuditEntry {
                status: refused.status().as_u16(),
                ..note
            };
            // That it was tried is noted already.
            drop(application.note_change(&failed).await);
            Err(refused)
        }
    }
}

async fn serve(socket: WebSocket, mut session: ExecSession) {
    let (mut to_client, mut from_client) = socket.split();
    loop {
        tokio::select! {
            output = session.output.next() => {
                let Some(output) = output else { break };
                let over = matches!(output, ExecOutput::Ended(_));
                if to_client.send(Message::Text(text(&output).into())).await.is_err() || over {
                    break;
                }
            }
            message = from_client.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let Ok(operation) = serde_json::from_str(&text) else { continue };
                    if session.input.send(input(operation)).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            }
        }
    }
    drop(to_client.send(good_end()).await);
}

fn input(operation: Operation) -> ExecInput {
    match operation {
        Operation::Stdin { data } => ExecInput::Stdin(data.into_bytes()),
        Operation::Resize { width, height } => ExecInput::Resize {
            columns: width,
            rows: height,
        },
        Operation::CloseStdin => ExecInput::CloseStdin,
    }
}

/// `data` as the original has it; `stream` and the exit are additions.
fn text(output: &ExecOutput) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output {
        ExecOutput::Stdout(bytes) => json!({ "data": lossy(bytes) }),
        ExecOutput::Stderr(bytes) => json!({ "data": lossy(bytes), "stream": "stderr" }),
        ExecOutput::Ended(Ok(Termination::Exited { code })) => json!({ "data": "", "exit_code": code }),
        ExecOutput::Ended(Ok(Termination::Signaled { signal, .. })) => {
            json!({ "data": "", "exit_code": 128 + signal, "signal": signal })
        }
        ExecOutput::Ended(Err(fault)) => json!({ "data": "", "exit_code": 126, "exec_fault": fault }),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use mainstay_api::TokenScope;
    use mainstay_spec::ids::{AccountId, UserId};
    use mainstay_testkit::Place;

    use super::*;
    use crate::{app::apps::Page, system::World};

    #[test]
    fn a_console_is_noted_before_it_is_begun() {
        let place = Place::claim();
        let world = World::new(place.address(3).port(), 0);
        let lived = world.live(async |server| {
            let application = &server.application;
            let app = server.serving_app().await;
            let instances = application.instances(app).await.expect("it serves");
            let opener = Opener {
                instance: instances[0].id,
                app,
                by: Access {
                    account: AccountId::FIRST,
                    user: UserId::FIRST,
                    email: "somebody@example.com".into(),
                    token: "t".into(),
                    name: "somebody".into(),
                    scope: TokenScope::Write,
                    app: None,
                },
                origin: "127.0.0.1".into(),
            };
            let noted = async || {
                let page = Page { number: 1, size: 10 };
                let (rows, _) = application
                    .changes_noted(AccountId::FIRST, page)
                    .await
                    .expect("nothing is wrong");
                rows.iter().map(|row| row.entry.status).collect::<Vec<_>>()
            };
            world.calls_made();
            world.refuse_next_commit();
            assert!(begin(application, &opener, OpenQuery::default()).await.is_err());
            assert!(world.has_refused(), "it was to be noted");
            let calls = world.calls_made();
            assert!(!calls.iter().any(|call| call == "exec"), "{calls:?}");
            assert_eq!(noted().await, Vec::<u16>::new());

            // This engine opens none.
            assert!(begin(application, &opener, OpenQuery::default()).await.is_err());
            let calls = world.calls_made();
            assert!(calls.iter().any(|call| call == "exec"), "{calls:?}");
            assert_eq!(
                noted().await,
                [500, 101],
                "newest first: that it failed, and that it was tried"
            );
        });
        assert!(lived.is_some(), "nothing kills this server");
    }
}

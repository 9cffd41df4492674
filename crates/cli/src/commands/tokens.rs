//! `mainstay tokens` and `mainstay audit`.

use std::process::ExitCode;

use jiff::Timestamp;
use mainstay_api::{AuditEntry, CreateTokenRequest, Token, TokenScope};

use crate::{
    args::{Scope, Tokens},
    client::Client,
    error::CliError,
    output::{Output, table},
};

const DAY_SECONDS: u64 = 24 * 3600;

pub(super) async fn run(client: &Client, output: &Output, command: Tokens) -> Result<ExitCode, CliError> {
    match command {
        Tokens::List => {
            let tokens = client.tokens().await?;
            output.data(&tokens, || {
                let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
                table(&["ID", "NAME", "SCOPE", "APP", "STATE", "LAST USED"], &rows)
            });
        }
        Tokens::Create {
            name,
            scope,
            app,
            days,
        } => {
            let app_id = match app {
                Some(app) => client.app(&app).await?.id,
                None => String::new(),
            };
            let token = client
                .create_token(&CreateTokenRequest {
                    name,
                    scope: match scope {
                        Scope::Read => TokenScope::Read,
                        Scope::Write => TokenScope::Write,
                        Scope::Admin => TokenScope::Admin,
                    },
                    app_id,
                    expires_in_seconds: days.map_or(0, |days| u64::from(days) * DAY_SECONDS),
                })
                .await?;
            output.data(&token, || token.token.clone());
        }
        Tokens::Revoke { id } => {
            client.revoke_token(&id).await?;
            output.data(&serde_json::json!({ "id": id }), || id.clone());
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn audit(client: &Client, output: &Output, count: u32) -> Result<ExitCode, CliError> {
    let entries = client.audit(count).await?;
    output.data(&entries, || {
        let rows: Vec<Vec<String>> = entries.iter().map(audit_row).collect();
        table(&["TIME", "TOKEN", "FROM", "STATUS", "ACTION"], &rows)
    });
    Ok(ExitCode::SUCCESS)
}

fn row(token: &Token) -> Vec<String> {
    let ended = token.expires_at.filter(|at| *at <= Timestamp::now());
    let state = match (token.revoked_at, ended, token.expires_at) {
        (Some(at), ..) => format!("revoked {}", time(Some(at))),
        (None, Some(at), _) => format!("expired {}", time(Some(at))),
        (None, None, Some(at)) => format!("until {}", time(Some(at))),
        (None, None, None) => "valid".into(),
    };
    vec![
        token.id.clone(),
        token.name.clone(),
        token.scope.to_string(),
        token.app_id.clone(),
        state,
        time(token.last_used_at),
    ]
}

fn audit_row(entry: &AuditEntry) -> Vec<String> {
    vec![
        time(entry.at),
        entry.token_name.clone(),
        entry.origin.clone(),
        entry.status.to_string(),
        entry.action.clone(),
    ]
}

fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.strftime("%F %T").to_string()).unwrap_or_default()
}

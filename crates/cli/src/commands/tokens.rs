//! `mainstay tokens` and `mainstay audit`.

use std::process::ExitCode;

use jiff::Timestamp;
use mainstay_api::{AuditEntry, CreateTokenRequest, Token, TokenScope};

use crate::{
    args::{OfAccount, Scope, Tokens},
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

const DAY_SECONDS: u64 = 24 * 3600;

pub(super) async fn run(client: &Client, output: &Output, command: Tokens) -> Result<ExitCode, CliError> {
    match command {
        Tokens::List { of } => {
            let tokens = client.tokens(of.account.as_deref()).await?;
            output.list(&tokens, &COLUMNS)?;
        }
        Tokens::Create {
            name,
            scope,
            app,
            days,
            user,
            of,
        } => {
            let app_id = match app {
                Some(app) => client.app(&app).await?.id,
                None => String::new(),
            };
            let request = CreateTokenRequest {
                name,
                user: user.unwrap_or_default(),
                scope: match scope {
                    Scope::Read => TokenScope::Read,
                    Scope::Write => TokenScope::Write,
                    Scope::Admin => TokenScope::Admin,
                },
                app_id,
                expires_in_seconds: days.map_or(0, |days| u64::from(days) * DAY_SECONDS),
            };
            let token = client.create_token(of.account.as_deref(), &request).await?;
            output.data(&token, || token.token.clone());
        }
        Tokens::Revoke { id, of } => {
            client.revoke_token(of.account.as_deref(), &id).await?;
            output.data(&serde_json::json!({ "id": id }), || id.clone());
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn audit(
    client: &Client,
    output: &Output,
    count: u32,
    of: &OfAccount,
) -> Result<ExitCode, CliError> {
    let entries = client.audit(of.account.as_deref(), count).await?;
    output.list(&entries, &AUDIT_COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [Column<Token>; 7] = [
    Column::new("ID", "ID", |token| token.id.clone()),
    Column::new("Name", "NAME", |token| token.name.clone()),
    Column::new("User", "USER", |token| token.user_email.clone()),
    Column::new("Scope", "SCOPE", |token| token.scope.to_string()),
    Column::new("App", "APP", |token| token.app_id.clone()),
    Column::new("State", "STATE", state),
    Column::new("LastUsed", "LAST USED", |token| time(token.last_used_at)),
];

fn state(token: &Token) -> String {
    let ended = token.expires_at.filter(|at| *at <= Timestamp::now());
    match (token.revoked_at, ended, token.expires_at) {
        (Some(at), ..) => format!("revoked {}", time(Some(at))),
        (None, Some(at), _) => format!("expired {}", time(Some(at))),
        (None, None, Some(at)) => format!("until {}", time(Some(at))),
        (None, None, None) => "valid".into(),
    }
}

const AUDIT_COLUMNS: [Column<AuditEntry>; 7] = [
    Column::new("Time", "TIME", |entry| time(entry.at)),
    Column::on_request("AccountID", "ACCOUNT ID", |entry| entry.account_id.clone()),
    Column::new("User", "USER", |entry| entry.user_email.clone()),
    Column::new("Token", "TOKEN", |entry| entry.token_name.clone()),
    Column::new("From", "FROM", |entry| entry.origin.clone()),
    Column::new("Status", "STATUS", |entry| entry.status.to_string()),
    Column::new("Action", "ACTION", |entry| entry.action.clone()),
];

//! `/v2/mainstay/tokens` and `/v2/mainstay/audit`: ours alone.

use axum::{Extension, Json, extract::State, http::HeaderMap};
use mainstay_api::{
    AuditEntry, AuditResponse, CreateTokenRequest, Meta, PageQuery, Token, TokenResponse, TokensResponse,
};
use mainstay_store::{AuditRow, TokenRow};
use serde_json::{Value, json};

use super::{
    ApiError,
    accounts::Meant,
    extract::{Path, Query, Text, body_of, list_url, page},
};
use crate::app::{Application, tokens::Access};

pub(crate) async fn list(
    State(application): State<Application>,
    Meant(account): Meant,
) -> Result<Json<TokensResponse>, ApiError> {
    let rows = application.tokens(account).await?;
    Ok(Json(TokensResponse {
        tokens: rows.into_iter().map(|(row, email)| token(row, email)).collect(),
    }))
}

/// The answer has the secret; no other has.
pub(crate) async fn create(
    State(application): State<Application>,
    Extension(access): Extension<Access>,
    Meant(account): Meant,
    Text(body): Text,
) -> Result<Json<TokenResponse>, ApiError> {
    let request: CreateTokenRequest = body_of(&body)?;
    let user = match request.user.as_str() {
        "" if account == access.account => access.user.to_string(),
        "" => return Err(ApiError::bad_request("user is needed: whose token it is to be")),
        user => user.to_owned(),
    };
    let user = application.user(account, &user).await?;
    let (row, secret) = application.create_token(account, &user, &request).await?;
    Ok(Json(TokenResponse {
        token: Token {
            token: secret,
            ..token(row, user.email)
        },
    }))
}

pub(crate) async fn revoke(
    State(application): State<Application>,
    Meant(account): Meant,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    application.revoke_token(account, &id).await?;
    Ok(Json(json!({ "id": id })))
}

pub(crate) async fn audit(
    State(application): State<Application>,
    Meant(account): Meant,
    Query(query): Query<PageQuery>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<AuditResponse>, ApiError> {
    let (rows, total) = application.changes_noted(account, page(query)?).await?;
    Ok(Json(AuditResponse {
        audit: rows.into_iter().map(entry).collect(),
        links: query.links(&list_url(&headers, "/v2/mainstay/audit", &pairs), total),
        meta: Meta { total },
    }))
}

fn token(row: TokenRow, email: String) -> Token {
    Token {
        user_id: row.user.to_string(),
        user_email: email,
        scope: row.scope.parse().unwrap_or_default(),
        id: row.id,
        name: row.name,
        app_id: row.app.map(|id| id.to_string()).unwrap_or_default(),
        created_at: Some(row.created_at),
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
        token: String::new(),
    }
}

fn entry(row: AuditRow) -> AuditEntry {
    let AuditRow { id, entry } = row;
    AuditEntry {
        id,
        at: Some(entry.at),
        account_id: entry.account.to_string(),
        user_id: entry.user,
        user_email: entry.user_name,
        token_id: entry.token,
        token_name: entry.token_name,
        action: entry.action,
        app_id: entry.app.map(|id| id.to_string()).unwrap_or_default(),
        status: entry.status,
        origin: entry.origin,
    }
}

//! `/v2/mainstay/tokens` and `/v2/mainstay/audit`: ours alone.

use axum::{Json, extract::State, http::HeaderMap};
use mainstay_api::{
    AuditEntry, AuditResponse, CreateTokenRequest, Meta, PageQuery, Token, TokenResponse, TokensResponse,
};
use mainstay_store::{AuditRow, TokenRow};
use serde_json::{Value, json};

use super::{
    ApiError,
    extract::{Path, Query, Text, base_url, body_of, page},
};
use crate::app::Application;

pub(crate) async fn list(State(application): State<Application>) -> Result<Json<TokensResponse>, ApiError> {
    let rows = application.tokens().await?;
    Ok(Json(TokensResponse {
        tokens: rows.into_iter().map(token).collect(),
    }))
}

/// The answer has the secret; no other has.
pub(crate) async fn create(
    State(application): State<Application>,
    Text(body): Text,
) -> Result<Json<TokenResponse>, ApiError> {
    let request: CreateTokenRequest = body_of(&body)?;
    let (row, secret) = application.create_token(&request).await?;
    Ok(Json(TokenResponse {
        token: Token {
            token: secret,
            ..token(row)
        },
    }))
}

pub(crate) async fn revoke(
    State(application): State<Application>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    application.revoke_token(&id).await?;
    Ok(Json(json!({ "id": id })))
}

pub(crate) async fn audit(
    State(application): State<Application>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Json<AuditResponse>, ApiError> {
    let (rows, total) = application.changes_noted(page(query)?).await?;
    Ok(Json(AuditResponse {
        audit: rows.into_iter().map(entry).collect(),
        links: query.links(&format!("{}/v2/mainstay/audit", base_url(&headers)), total),
        meta: Meta { total },
    }))
}

fn token(row: TokenRow) -> Token {
    Token {
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
        token_id: entry.token,
        token_name: entry.token_name,
        action: entry.action,
        app_id: entry.app.map(|id| id.to_string()).unwrap_or_default(),
        status: entry.status,
        origin: entry.origin,
    }
}

//! `/v2/mainstay/accounts` and `/v2/mainstay/users`, with their part of the table of routes; and whose account a call is about.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{Method, request::Parts},
    routing::{delete, get, post, put},
};
use mainstay_api::{
    AccountLimitsRequest, AccountRequest, AccountSummary, AccountSummaryResponse, AccountUser,
    AccountsResponse, CreateUserRequest, IdResponse, LimitsResponse, TokenScope::Admin, UpdateUserRequest,
    UserResponse, UsersResponse,
};
use mainstay_spec::ids::AccountId;
use mainstay_store::{AccountRow, UserRow};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError,
    access::{
        Reach::{Account, Machine},
        Route,
    },
    extract::{Path, Text, body_of},
    routes::route,
    wire,
};
use crate::app::{Application, tokens::Access};

/// The account of the token that asks. Handlers learn of an account in no other way than this and [`Meant`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own(pub AccountId);

/// The account that the query names, which is the token's own unless the operator asks: found by the guard, for routes with [`Account`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meant(pub AccountId);

/// Read by the guard.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AccountQuery {
    /// By id or name, for the operator: another account than the token's own.
    pub(super) account: Option<String>,
}

impl FromRequestParts<Application> for Own {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Application) -> Result<Self, ApiError> {
        // Without the guard nothing is answered.
        let access = parts.extensions.get::<Access>();
        Ok(Self(access.ok_or_else(ApiError::unauthorized)?.account))
    }
}

impl FromRequestParts<Application> for Meant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Application) -> Result<Self, ApiError> {
        let meant = parts.extensions.get::<Self>().copied();
        meant.ok_or_else(ApiError::unauthorized)
    }
}

#[expect(clippy::too_many_lines, reason = "one flat table")]
pub(super) fn all() -> Vec<Route> {
    vec![
        route(Method::GET, "/v2/mainstay/accounts", Admin, Machine, get(list))
            .named("mainstay_list_accounts", "The accounts; for the operator alone.")
            .gives::<AccountsResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/accounts",
            Admin,
            Machine,
            post(create),
        )
        .named("mainstay_create_account", "Make an account, without users yet.")
        .takes::<AccountRequest>()
        .gives::<AccountSummaryResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/accounts/{account}",
            Admin,
            Machine,
            get(show),
        )
        .named("mainstay_get_account", "An account, by id or by name.")
        .gives::<AccountSummaryResponse>(),
        route(
            Method::PUT,
            "/v2/mainstay/accounts/{account}",
            Admin,
            Machine,
            put(rename),
        )
        .named("mainstay_rename_account", "Give an account another name.")
        .takes::<AccountRequest>()
        .gives::<AccountSummaryResponse>(),
        route(
            Method::DELETE,
            "/v2/mainstay/accounts/{account}",
            Admin,
            Machine,
            delete(remove),
        )
        .named(
            "mainstay_remove_account",
            "Remove an account that has no app, with its users.",
        )
        .gives::<IdResponse>(),
        route(
            Method::PUT,
            "/v2/mainstay/accounts/{account}/limits",
            Admin,
            Machine,
            put(set_limits),
        )
        .named(
            "mainstay_set_account_limits",
            "Let an account take more or less than others.",
        )
        .takes::<AccountLimitsRequest>()
        .gives::<LimitsResponse>(),
        route(Method::GET, "/v2/mainstay/users", Admin, Account, get(users))
            .named("mainstay_list_users", "The users of the account.")
            .asks::<AccountQuery>()
            .gives::<UsersResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/users",
            Admin,
            Account,
            post(create_user),
        )
        .named("mainstay_create_user", "Make a user, without tokens yet.")
        .asks::<AccountQuery>()
        .takes::<CreateUserRequest>()
        .gives::<UserResponse>(),
        route(
            Method::PUT,
            "/v2/mainstay/users/{user}",
            Admin,
            Account,
            put(update_user),
        )
        .named(
            "mainstay_update_user",
            "Rename a user, change the role, disable or enable.",
        )
        .asks::<AccountQuery>()
        .takes::<UpdateUserRequest>()
        .gives::<UserResponse>(),
        route(
            Method::DELETE,
            "/v2/mainstay/users/{user}",
            Admin,
            Account,
            delete(remove_user),
        )
        .named("mainstay_remove_user", "Remove a user without good tokens.")
        .asks::<AccountQuery>()
        .gives::<IdResponse>(),
    ]
}

async fn list(State(application): State<Application>) -> Result<Json<AccountsResponse>, ApiError> {
    let rows = application.accounts().await?;
    Ok(Json(AccountsResponse {
        accounts: rows.into_iter().map(account).collect(),
    }))
}

async fn create(
    State(application): State<Application>,
    Text(body): Text,
) -> Result<Json<AccountSummaryResponse>, ApiError> {
    let request: AccountRequest = body_of(&body)?;
    Ok(one(application.create_account(&request.name).await?))
}

async fn show(
    State(application): State<Application>,
    Path(wanted): Path<String>,
) -> Result<Json<AccountSummaryResponse>, ApiError> {
    Ok(one(application.account(&wanted).await?))
}

async fn rename(
    State(application): State<Application>,
    Path(wanted): Path<String>,
    Text(body): Text,
) -> Result<Json<AccountSummaryResponse>, ApiError> {
    let request: AccountRequest = body_of(&body)?;
    Ok(one(application.rename_account(&wanted, &request.name).await?))
}

async fn remove(
    State(application): State<Application>,
    Path(wanted): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = application.remove_account(&wanted).await?;
    Ok(Json(json!({ "id": id.to_string() })))
}

async fn set_limits(
    State(application): State<Application>,
    Path(wanted): Path<String>,
    Text(body): Text,
) -> Result<Json<LimitsResponse>, ApiError> {
    let request: AccountLimitsRequest = body_of(&body)?;
    let account = application.set_account_limits(&wanted, &request.limits).await?;
    let limits = application.limits(account).await?;
    Ok(Json(LimitsResponse {
        limits: limits.into_iter().map(wire::limit).collect(),
    }))
}

async fn users(
    State(application): State<Application>,
    Meant(account): Meant,
) -> Result<Json<UsersResponse>, ApiError> {
    let rows = application.users(account).await?;
    Ok(Json(UsersResponse {
        users: rows.into_iter().map(user).collect(),
    }))
}

async fn create_user(
    State(application): State<Application>,
    Meant(account): Meant,
    Text(body): Text,
) -> Result<Json<UserResponse>, ApiError> {
    let request: CreateUserRequest = body_of(&body)?;
    let row = application.create_user(account, &request).await?;
    Ok(Json(UserResponse { user: user(row) }))
}

async fn update_user(
    State(application): State<Application>,
    Meant(account): Meant,
    Path(wanted): Path<String>,
    Text(body): Text,
) -> Result<Json<UserResponse>, ApiError> {
    let request: UpdateUserRequest = body_of(&body)?;
    let row = application.update_user(account, &wanted, &request).await?;
    Ok(Json(UserResponse { user: user(row) }))
}

async fn remove_user(
    State(application): State<Application>,
    Meant(account): Meant,
    Path(wanted): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = application.remove_user(account, &wanted).await?;
    Ok(Json(json!({ "id": id.to_string() })))
}

fn one(row: AccountRow) -> Json<AccountSummaryResponse> {
    Json(AccountSummaryResponse {
        account: account(row),
    })
}

fn account(row: AccountRow) -> AccountSummary {
    AccountSummary {
        id: row.id.to_string(),
        name: row.name,
        created_at: Some(row.created_at),
        apps: row.apps,
    }
}

fn user(row: UserRow) -> AccountUser {
    AccountUser {
        id: row.id.to_string(),
        account_id: row.account.to_string(),
        email: row.email,
        name: row.name,
        role: row.role.parse().unwrap_or_default(),
        created_at: Some(row.created_at),
        disabled_at: row.disabled_at,
    }
}

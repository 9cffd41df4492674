//! What is not about one app: the account, uploads, health.

use axum::{Extension, Json, body::Body, extract::State};
use futures_util::TryStreamExt;
use mainstay_api::{Account, AccountLimits, AccountResponse, LimitsResponse, Team, Upload, UploadResponse};
use mainstay_spec::ids::AccountId;
use serde_json::{Value, json};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{
    ApiError,
    accounts::{Meant, Own},
    wire,
};
use crate::{
    app::{Application, tokens::Access},
    uploads::{self, UploadError},
};

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// As the original tells it: whose token it is, and the account as the team.
pub(crate) async fn account(
    State(application): State<Application>,
    Extension(access): Extension<Access>,
) -> Result<Json<AccountResponse>, ApiError> {
    let (account, user) = application.who(&access).await?;
    Ok(Json(AccountResponse {
        account: AccountLimits {
            account: Account {
                uuid: user.id.to_string(),
                email: user.email,
                name: user.name,
                email_verified: true,
                status: "active".into(),
                team: Some(Team {
                    uuid: account.id.to_string(),
                    name: account.name,
                }),
            },
            ..AccountLimits::default()
        },
    }))
}

/// Of the account, and for those of the first one also of the machine.
pub(crate) async fn limits(
    State(application): State<Application>,
    Extension(access): Extension<Access>,
    Meant(account): Meant,
) -> Result<Json<LimitsResponse>, ApiError> {
    let of_account = application.limits(account).await?;
    let of_machine = if access.account == AccountId::FIRST {
        application.rooms().await?
    } else {
        Vec::new()
    };
    let of_machine = of_machine.into_iter().map(wire::room);
    let limits = of_account.into_iter().map(wire::limit).chain(of_machine);
    Ok(Json(LimitsResponse {
        limits: limits.collect(),
    }))
}

/// Takes a packed folder as the body; the answer's `source` is what a spec calls it.
pub(crate) async fn upload(
    State(application): State<Application>,
    Own(account): Own,
    body: Body,
) -> Result<Json<UploadResponse>, ApiError> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(stream));
    let platform = application.platform.clone();
    let stored = tokio::task::spawn_blocking(move || uploads::store(&platform, reader)).await;
    match stored {
        Ok(Ok(id)) => {
            application.note_upload(account, &id).await?;
            let source = format!("{}{id}", uploads::SCHEME);
            Ok(Json(UploadResponse {
                upload: Upload { id, source },
            }))
        }
        Ok(Err(UploadError::Refused(message))) => Err(ApiError::bad_request(message)),
        Ok(Err(UploadError::NoRoom)) => Err(application.no_disk().into()),
        Ok(Err(UploadError::Platform(error))) => Err(crate::app::Refusal::Platform(error).into()),
        Err(_) => Err(ApiError::bad_request("the upload broke off")),
    }
}

//! What is not about one app: the account, uploads, health.

use axum::{Json, body::Body, extract::State};
use futures_util::TryStreamExt;
use mainstay_api::{Account, AccountLimits, AccountResponse, LimitsResponse, Team, Upload, UploadResponse};
use serde_json::{Value, json};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{ApiError, wire};
use crate::{
    app::Application,
    uploads::{self, UploadError},
};

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(crate) async fn account() -> Json<AccountResponse> {
    let nobody = uuid::Uuid::nil().to_string();
    Json(AccountResponse {
        account: AccountLimits {
            account: Account {
                uuid: nobody.clone(),
                email: "operator@localhost".into(),
                name: "operator".into(),
                email_verified: true,
                status: "active".into(),
                team: Some(Team {
                    uuid: nobody,
                    name: "operators".into(),
                }),
            },
            ..AccountLimits::default()
        },
    })
}

pub(crate) async fn limits(State(application): State<Application>) -> Result<Json<LimitsResponse>, ApiError> {
    let of_account = application.limits().await?.into_iter().map(wire::limit);
    let of_machine = application.rooms().await?.into_iter().map(wire::room);
    let limits = of_account.chain(of_machine).collect();
    Ok(Json(LimitsResponse { limits }))
}

/// Takes a packed folder as the body; the answer's `source` is what a spec calls it.
pub(crate) async fn upload(
    State(application): State<Application>,
    body: Body,
) -> Result<Json<UploadResponse>, ApiError> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(stream));
    let platform = application.platform.clone();
    let stored = tokio::task::spawn_blocking(move || uploads::store(&platform, reader)).await;
    match stored {
        Ok(Ok(id)) => {
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

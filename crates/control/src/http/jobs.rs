//! `/v2/apps/{id}/job-invocations` and `/v2/apps/{id}/jobs`.

use axum::{Json, extract::State, http::HeaderMap};
use mainstay_api::{
    JobInvocation, JobInvocationPhase, JobInvocationResponse, JobInvocationsResponse, JobTrigger,
    JobTriggerType, LogsQuery, LogsResponse, ManualTrigger, Meta, PageQuery, Reason, ScheduledTrigger, User,
};
use mainstay_spec::{
    ComponentRef,
    ids::{AppId, DeploymentId, InvocationId},
};
use mainstay_store::{InvocationPhase, Trigger};
use schemars::JsonSchema;

use super::{
    ApiError,
    extract::{Path, Query, list_url, page, words},
    logs,
};
use crate::app::{Application, jobs::InvocationView};

/// What [`Filter`] reads, for the description.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "a shape")]
pub(crate) struct RunsQuery {
    /// Of these jobs only.
    job_names: Option<Vec<String>>,
    /// Of this deployment only.
    #[schemars(extend("format" = "uuid"))]
    deployment_id: Option<String>,
}

/// Clients name the job along with its run, which is enough.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "a shape")]
pub(crate) struct JobQuery {
    job_name: Option<String>,
}

type Answer = Result<Json<JobInvocationResponse>, ApiError>;

pub(crate) async fn list(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Query(query): Query<PageQuery>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<JobInvocationsResponse>, ApiError> {
    let filter = Filter::read(&pairs)?;
    let (views, total) = application
        .invocations(app, &filter.jobs, filter.deployment, page(query)?)
        .await?;
    let url = list_url(&headers, &format!("/v2/apps/{app}/job-invocations"), &pairs);
    let links = query.links(&url, total);
    Ok(Json(JobInvocationsResponse {
        job_invocations: views.into_iter().map(invocation).collect(),
        links,
        meta: Meta { total },
    }))
}

pub(crate) async fn get(
    State(application): State<Application>,
    Path((app, id)): Path<(AppId, InvocationId)>,
) -> Answer {
    Ok(wrap(application.invocation(app, id).await?))
}

pub(crate) async fn cancel(
    State(application): State<Application>,
    Path((app, id)): Path<(AppId, InvocationId)>,
) -> Answer {
    Ok(wrap(application.cancel_invocation(app, id).await?))
}

pub(crate) async fn run(
    State(application): State<Application>,
    Path((app, job)): Path<(AppId, String)>,
) -> Answer {
    Ok(wrap(application.run_job(app, &job, "user").await?))
}

/// The job's name is part of the path for clients' sake; the run alone says which log.
pub(crate) async fn logs(
    State(application): State<Application>,
    Path((app, _job, id)): Path<(AppId, String, InvocationId)>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Result<Json<LogsResponse>, ApiError> {
    let tail = query.tail().and_then(|lines| usize::try_from(lines).ok());
    let wish = application.job_log_wish(app, id, query.follow, tail).await?;
    Ok(Json(logs::answer(&application, wish, &headers)))
}

#[derive(Debug, Default)]
struct Filter {
    jobs: Vec<String>,
    deployment: Option<DeploymentId>,
}

impl Filter {
    fn read(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let deployment = pairs
            .iter()
            .find(|(key, value)| key == "deployment_id" && !value.is_empty())
            .map(|(_, value)| {
                value
                    .parse()
                    .map_err(|_| ApiError::bad_request(format!("deployment_id is {value:?}, which is no id")))
            });
        let jobs = [words(pairs, "job_names"), words(pairs, "job_name")].concat();
        Ok(Self {
            jobs,
            deployment: deployment.transpose()?,
        })
    }
}

fn wrap(view: InvocationView) -> Json<JobInvocationResponse> {
    Json(JobInvocationResponse {
        job_invocation: invocation(view),
    })
}

fn invocation(view: InvocationView) -> JobInvocation {
    let row = view.row;
    let trigger = match row.trigger {
        // The API has no word for it.
        Trigger::Deployment => None,
        Trigger::Schedule { due_at } => {
            let schedule = match view.deployment.spec.component(&row.job) {
                Some(ComponentRef::Job(job)) => job.schedule.clone(),
                _ => None,
            };
            Some(JobTrigger {
                r#type: JobTriggerType::Scheduled,
                scheduled: Some(ScheduledTrigger {
                    schedule: schedule.unwrap_or_default(),
                    due_at: Some(due_at),
                }),
                ..JobTrigger::default()
            })
        }
        Trigger::Manual { by } => Some(JobTrigger {
            r#type: JobTriggerType::Manual,
            manual: Some(ManualTrigger {
                user: User {
                    full_name: by,
                    ..User::default()
                },
            }),
            ..JobTrigger::default()
        }),
    };
    JobInvocation {
        id: row.id.to_string(),
        job_name: row.job,
        deployment_id: row.deployment.to_string(),
        phase: phase(row.phase),
        trigger,
        created_at: Some(row.created_at),
        started_at: row.started_at,
        completed_at: row.completed_at,
        reason: row.reason.map(Reason::from),
        note: row.note.unwrap_or_default(),
    }
}

fn phase(phase: InvocationPhase) -> JobInvocationPhase {
    match phase {
        InvocationPhase::Pending => JobInvocationPhase::Pending,
        InvocationPhase::Running => JobInvocationPhase::Running,
        InvocationPhase::Succeeded => JobInvocationPhase::Succeeded,
        InvocationPhase::Failed => JobInvocationPhase::Failed,
        InvocationPhase::Canceled => JobInvocationPhase::Canceled,
        InvocationPhase::Skipped => JobInvocationPhase::Skipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_may_be_repeated() {
        let id = "00000000-0000-0000-0000-000000000002";
        let pairs = [
            ("job_names", "a"),
            ("job_names[]", "b,c"),
            ("page", "2"),
            ("deployment_id", id),
        ];
        let filter = Filter::read(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))).unwrap();
        assert_eq!(filter.jobs, ["a", "b", "c"]);
        assert_eq!(filter.deployment.unwrap().to_string(), id);
        assert!(Filter::read(&[("deployment_id".into(), "x".into())]).is_err());
    }
}

//! The API, call by call.

mod backups;
mod metrics;
mod team;

use std::{path::Path, time::Duration};

use mainstay_api::{
    Alert, AlertDestinationsRequest, AlertResponse, AlertsResponse, App, AppDatabase, AppDatabasesResponse,
    AppResponse, AppsResponse, Buildpack, BuildpacksResponse, DatabaseCluster, DatabaseResponse,
    DatabasesResponse, Deployment, DeploymentResponse, DeploymentsResponse, ErrorBody, Event, EventResponse,
    EventsResponse, ExecResponse, Instance, InstanceEvent, InstanceEventsResponse, InstanceSize,
    InstanceSizeResponse, InstanceSizesResponse, InstancesResponse, JobInvocation, JobInvocationResponse,
    JobInvocationsResponse, LogsResponse, ProposeResponse, Region, RegionsResponse, RegisterDatabaseRequest,
    RollbackValidationResponse, Tier, TierResponse, TiersResponse, UpdateAppRequest, UpgradeBuildpackRequest,
    UpgradeBuildpackResponse,
};
use mainstay_spec::AppSpec;
use reqwest::{Body, Certificate, Method, RequestBuilder, Response, StatusCode, Upgraded};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::Role,
    },
};

use crate::error::CliError;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
const UPLOAD_WITHIN: Duration = Duration::from_mins(30);
/// The most that the API gives at once.
const PER_PAGE: usize = 200;
/// Of one list: more than a platform has of anything.
const PAGES_MAX: u32 = 1000;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    url: String,
    token: String,
    http: reqwest::Client,
}

#[derive(Debug, Deserialize)]
struct UploadAnswer {
    upload: Upload,
}

#[derive(Debug, Deserialize)]
struct Upload {
    source: String,
}

impl Client {
    /// Asks nothing yet.
    pub(crate) fn new(url: &str, token: String, authority: Option<&Path>) -> Result<Self, CliError> {
        // The HTTP library comes without a TLS provider of its own. A second installation is refused, and as good as the first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .no_proxy();
        if let Some(file) = authority {
            http = http.tls_certs_only(certificates(file)?);
        } else if url.starts_with("http://") {
            // Nothing is verified: reading the machine's authorities would take half of a short command's time.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|error| CliError::NotUnderstood {
            message: error.to_string(),
        })?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            token,
            http,
        })
    }

    /// Opens a link as a websocket, over the same kind of connection as everything else.
    pub(crate) async fn websocket(&self, url: &str) -> Result<WebSocketStream<Upgraded>, CliError> {
        let key = generate_key();
        let url = url.replacen("ws", "http", 1);
        let request = self
            .http
            .get(&url)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let answer = request.send().await.map_err(|source| self.unreachable(source))?;
        let accepted = answer.headers().get("sec-websocket-accept");
        let is_accepted =
            accepted.is_some_and(|accepted| accepted == derive_accept_key(key.as_bytes()).as_str());
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !is_accepted {
            return Err(self.refusal(answer).await);
        }
        let upgraded = answer
            .upgrade()
            .await
            .map_err(|source| self.unreachable(source))?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }

    pub(crate) async fn apps(&self) -> Result<Vec<App>, CliError> {
        self.all("/v2/apps?", |answer: AppsResponse| answer.apps).await
    }

    /// By id or name.
    pub(crate) async fn app(&self, app: &str) -> Result<App, CliError> {
        let answer: AppResponse = self.get(&format!("/v2/apps/{}", escaped(app))).await?;
        Ok(answer.app)
    }

    pub(crate) async fn create_app(&self, spec: &AppSpec) -> Result<AppResponse, CliError> {
        self.send(Method::POST, "/v2/apps", &json!({ "spec": spec }))
            .await
    }

    pub(crate) async fn update_app(
        &self,
        app: &str,
        spec: &AppSpec,
        update_sources: bool,
        allow_losses: bool,
    ) -> Result<AppResponse, CliError> {
        let body = UpdateAppRequest {
            spec: spec.clone(),
            update_all_source_versions: update_sources,
            refuse_losses: !allow_losses,
        };
        self.send(Method::PUT, &format!("/v2/apps/{app}"), &json!(body))
            .await
    }

    pub(crate) async fn delete_app(&self, app: &str, with_databases: bool) -> Result<Value, CliError> {
        let databases = if with_databases {
            "?delete_databases=true"
        } else {
            ""
        };
        self.send(
            Method::DELETE,
            &format!("/v2/apps/{app}{databases}"),
            &Value::Null,
        )
        .await
    }

    /// Of all services and workers when none is named.
    pub(crate) async fn restart_app(&self, app: &str, components: &[String]) -> Result<Deployment, CliError> {
        let body = json!({ "components": components });
        let path = format!("/v2/apps/{app}/restart");
        let answer: DeploymentResponse = self.send(Method::POST, &path, &body).await?;
        Ok(answer.deployment)
    }

    pub(crate) async fn clusters(&self) -> Result<Vec<DatabaseCluster>, CliError> {
        let answer: DatabasesResponse = self.get("/v2/databases").await?;
        Ok(answer.databases)
    }

    /// By id or name.
    pub(crate) async fn cluster(&self, name: &str) -> Result<DatabaseCluster, CliError> {
        let answer: DatabaseResponse = self.get(&format!("/v2/databases/{}", escaped(name))).await?;
        Ok(answer.database)
    }

    pub(crate) async fn register_cluster(
        &self,
        request: &RegisterDatabaseRequest,
    ) -> Result<DatabaseCluster, CliError> {
        let path = "/v2/mainstay/databases";
        let answer: DatabaseResponse = self.send(Method::POST, path, &json!(request)).await?;
        Ok(answer.database)
    }

    pub(crate) async fn remove_cluster(&self, name: &str) -> Result<(), CliError> {
        let path = format!("/v2/mainstay/databases/{}", escaped(name));
        let _: Value = self.send(Method::DELETE, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn app_databases(&self, app: &str) -> Result<Vec<AppDatabase>, CliError> {
        let path = format!("/v2/mainstay/apps/{app}/databases");
        let answer: AppDatabasesResponse = self.get(&path).await?;
        Ok(answer.databases)
    }

    pub(crate) async fn delete_app_database(
        &self,
        app: &str,
        name: &str,
        with_data: bool,
    ) -> Result<(), CliError> {
        let path = format!(
            "/v2/mainstay/apps/{app}/databases/{}?delete_data={with_data}",
            escaped(name)
        );
        let _: Value = self.send(Method::DELETE, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn roll_back(
        &self,
        app: &str,
        to: &str,
        skip_pin: bool,
    ) -> Result<Deployment, CliError> {
        let body = json!({ "deployment_id": to, "skip_pin": skip_pin });
        let path = format!("/v2/apps/{app}/rollback");
        let answer: DeploymentResponse = self.send(Method::POST, &path, &body).await?;
        Ok(answer.deployment)
    }

    pub(crate) async fn validate_rollback(
        &self,
        app: &str,
        to: &str,
    ) -> Result<RollbackValidationResponse, CliError> {
        let body = json!({ "deployment_id": to });
        let path = format!("/v2/apps/{app}/rollback/validate");
        self.send(Method::POST, &path, &body).await
    }

    pub(crate) async fn commit_rollback(&self, app: &str) -> Result<(), CliError> {
        let path = format!("/v2/apps/{app}/rollback/commit");
        let _: Value = self.send(Method::POST, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn revert_rollback(&self, app: &str) -> Result<Deployment, CliError> {
        let path = format!("/v2/apps/{app}/rollback/revert");
        let answer: DeploymentResponse = self.send(Method::POST, &path, &Value::Null).await?;
        Ok(answer.deployment)
    }

    pub(crate) async fn instances(&self, app: &str) -> Result<Vec<Instance>, CliError> {
        let answer: InstancesResponse = self.get(&format!("/v2/apps/{app}/instances")).await?;
        Ok(answer.instances)
    }

    /// Newest first.
    pub(crate) async fn deployments(&self, app: &str) -> Result<Vec<Deployment>, CliError> {
        let path = format!("/v2/apps/{app}/deployments?");
        self.all(&path, |answer: DeploymentsResponse| answer.deployments)
            .await
    }

    pub(crate) async fn newest_deployment(&self, app: &str) -> Result<Option<Deployment>, CliError> {
        let path = format!("/v2/apps/{app}/deployments?per_page=1");
        let answer: DeploymentsResponse = self.get(&path).await?;
        Ok(answer.deployments.into_iter().next())
    }

    pub(crate) async fn deployment(&self, app: &str, deployment: &str) -> Result<Deployment, CliError> {
        let path = format!("/v2/apps/{app}/deployments/{}", escaped(deployment));
        let answer: DeploymentResponse = self.get(&path).await?;
        Ok(answer.deployment)
    }

    /// By its id alone.
    pub(crate) async fn deployment_by_id(&self, deployment: &str) -> Result<Deployment, CliError> {
        let path = format!("/v2/mainstay/deployments/{}", escaped(deployment));
        let answer: DeploymentResponse = self.get(&path).await?;
        Ok(answer.deployment)
    }

    /// What happened to the app's instances, newest first.
    pub(crate) async fn instance_events(
        &self,
        app: &str,
        component: Option<&str>,
        count: u32,
    ) -> Result<Vec<InstanceEvent>, CliError> {
        let of = component
            .map(|name| format!("&component={}", escaped(name)))
            .unwrap_or_default();
        let path = format!("/v2/mainstay/apps/{app}/instance-events?per_page={count}{of}");
        let answer: InstanceEventsResponse = self.get(&path).await?;
        Ok(answer.instance_events)
    }

    pub(crate) async fn create_deployment(
        &self,
        app: &str,
        force_build: bool,
    ) -> Result<Deployment, CliError> {
        let body = json!({ "force_build": force_build });
        let answer: DeploymentResponse = self
            .send(Method::POST, &format!("/v2/apps/{app}/deployments"), &body)
            .await?;
        Ok(answer.deployment)
    }

    pub(crate) async fn cancel_deployment(
        &self,
        app: &str,
        deployment: &str,
    ) -> Result<Deployment, CliError> {
        let path = format!("/v2/apps/{app}/deployments/{}/cancel", escaped(deployment));
        let answer: DeploymentResponse = self.send(Method::POST, &path, &json!({})).await?;
        Ok(answer.deployment)
    }

    pub(crate) async fn invocations(
        &self,
        app: &str,
        jobs: &[String],
        deployment: Option<&str>,
    ) -> Result<Vec<JobInvocation>, CliError> {
        let jobs = jobs.iter().map(|job| format!("&job_names={}", escaped(job)));
        let deployment = deployment.map(|id| format!("&deployment_id={}", escaped(id)));
        let filter: String = jobs.chain(deployment).collect();
        let path = format!("/v2/apps/{app}/job-invocations?{filter}");
        self.all(&path, |answer: JobInvocationsResponse| answer.job_invocations)
            .await
    }

    pub(crate) async fn invocation(&self, app: &str, run: &str) -> Result<JobInvocation, CliError> {
        let path = format!("/v2/apps/{app}/job-invocations/{}", escaped(run));
        let answer: JobInvocationResponse = self.get(&path).await?;
        Ok(answer.job_invocation)
    }

    pub(crate) async fn cancel_invocation(&self, app: &str, run: &str) -> Result<JobInvocation, CliError> {
        let path = format!("/v2/apps/{app}/job-invocations/{}/cancel", escaped(run));
        let answer: JobInvocationResponse = self.send(Method::POST, &path, &json!({})).await?;
        Ok(answer.job_invocation)
    }

    pub(crate) async fn run_job(&self, app: &str, job: &str) -> Result<JobInvocation, CliError> {
        let path = format!("/v2/mainstay/apps/{app}/jobs/{}/invocations", escaped(job));
        let answer: JobInvocationResponse = self.send(Method::POST, &path, &json!({})).await?;
        Ok(answer.job_invocation)
    }

    /// `path` is everything after the app, with its query.
    pub(crate) async fn log_links(&self, app: &str, path: &str) -> Result<LogsResponse, CliError> {
        self.get(&format!("/v2/apps/{app}{path}")).await
    }

    pub(crate) async fn console_link(
        &self,
        app: &str,
        component: &str,
        instance: Option<&str>,
    ) -> Result<ExecResponse, CliError> {
        let query = instance
            .map(|name| format!("?instance_name={}", escaped(name)))
            .unwrap_or_default();
        self.get(&format!(
            "/v2/apps/{app}/components/{}/exec{query}",
            escaped(component)
        ))
        .await
    }

    /// Opens a link that the API gave; its body streams.
    pub(crate) async fn open(&self, link: &str) -> Result<Response, CliError> {
        self.checked(self.http.get(link)).await
    }

    /// Uploads a packed folder; gives what a spec calls it.
    pub(crate) async fn upload(&self, archive: Vec<u8>) -> Result<String, CliError> {
        let request = self
            .request(Method::POST, "/v2/mainstay/uploads")
            .timeout(UPLOAD_WITHIN);
        let answer: UploadAnswer = decoded(self.checked(request.body(Body::from(archive))).await?).await?;
        Ok(answer.upload.source)
    }

    /// Newest first; `kind` is a word of the API's.
    pub(crate) async fn events(&self, app: &str, kind: Option<&str>) -> Result<Vec<Event>, CliError> {
        let of = kind
            .map(|kind| format!("&event_types={}", escaped(kind)))
            .unwrap_or_default();
        let path = format!("/v2/apps/{app}/events?{of}");
        self.all(&path, |answer: EventsResponse| answer.events).await
    }

    pub(crate) async fn event(&self, app: &str, event: &str) -> Result<Event, CliError> {
        let path = format!("/v2/apps/{app}/events/{}", escaped(event));
        let answer: EventResponse = self.get(&path).await?;
        Ok(answer.event)
    }

    pub(crate) async fn cancel_event(&self, app: &str, event: &str) -> Result<Event, CliError> {
        let path = format!("/v2/apps/{app}/events/{}/cancel", escaped(event));
        let answer: EventResponse = self.send(Method::POST, &path, &Value::Null).await?;
        Ok(answer.event)
    }

    pub(crate) async fn regions(&self) -> Result<Vec<Region>, CliError> {
        let answer: RegionsResponse = self.get("/v2/apps/regions").await?;
        Ok(answer.regions)
    }

    pub(crate) async fn tiers(&self) -> Result<Vec<Tier>, CliError> {
        let answer: TiersResponse = self.get("/v2/apps/tiers").await?;
        Ok(answer.tiers)
    }

    pub(crate) async fn tier(&self, slug: &str) -> Result<Tier, CliError> {
        let answer: TierResponse = self.get(&format!("/v2/apps/tiers/{}", escaped(slug))).await?;
        Ok(answer.tier)
    }

    pub(crate) async fn buildpacks(&self) -> Result<Vec<Buildpack>, CliError> {
        let answer: BuildpacksResponse = self.get("/v2/apps/buildpacks").await?;
        Ok(answer.buildpacks)
    }

    pub(crate) async fn upgrade_buildpack(
        &self,
        app: &str,
        request: &UpgradeBuildpackRequest,
    ) -> Result<UpgradeBuildpackResponse, CliError> {
        let path = format!("/v2/apps/{app}/upgrade_buildpack");
        self.send(Method::POST, &path, &json!(request)).await
    }

    pub(crate) async fn instance_sizes(&self) -> Result<Vec<InstanceSize>, CliError> {
        let answer: InstanceSizesResponse = self.get("/v2/apps/tiers/instance_sizes").await?;
        Ok(answer.instance_sizes)
    }

    pub(crate) async fn instance_size(&self, slug: &str) -> Result<InstanceSize, CliError> {
        let path = format!("/v2/apps/tiers/instance_sizes/{}", escaped(slug));
        let answer: InstanceSizeResponse = self.get(&path).await?;
        Ok(answer.instance_size)
    }

    pub(crate) async fn propose(
        &self,
        spec: &AppSpec,
        app: Option<&str>,
    ) -> Result<ProposeResponse, CliError> {
        let body = json!({ "spec": spec, "app_id": app });
        self.send(Method::POST, "/v2/apps/propose", &body).await
    }

    pub(crate) async fn alerts(&self, app: &str) -> Result<Vec<Alert>, CliError> {
        let answer: AlertsResponse = self.get(&format!("/v2/apps/{app}/alerts")).await?;
        Ok(answer.alerts)
    }

    pub(crate) async fn send_alert_to(
        &self,
        app: &str,
        alert: &str,
        destinations: &AlertDestinationsRequest,
    ) -> Result<Alert, CliError> {
        let path = format!("/v2/apps/{app}/alerts/{}/destinations", escaped(alert));
        let answer: AlertResponse = self.send(Method::POST, &path, &json!(destinations)).await?;
        Ok(answer.alert)
    }

    /// All pages of a list; `path` ends within its query.
    async fn all<T: DeserializeOwned, I>(
        &self,
        path: &str,
        items: impl Fn(T) -> Vec<I>,
    ) -> Result<Vec<I>, CliError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let answer: T = self
                .get(&format!("{path}&page={page}&per_page={PER_PAGE}"))
                .await?;
            let found = items(answer);
            let is_last = found.len() < PER_PAGE;
            all.extend(found);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        decoded(
            self.checked(self.request(Method::GET, path).timeout(ANSWER_WITHIN))
                .await?,
        )
        .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        let request = self.request(method, path).timeout(ANSWER_WITHIN);
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        decoded(self.checked(request).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// Sends; an answer that is no success becomes the error that it tells.
    async fn checked(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    fn unreachable(&self, error: reqwest::Error) -> CliError {
        CliError::Unreachable {
            url: self.url.clone(),
            source: Box::new(error),
        }
    }

    async fn refusal(&self, response: Response) -> CliError {
        let status = response.status();
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return self.unreachable(error),
        };
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => CliError::Refused { body: Box::new(body) },
            Err(_) => CliError::NotUnderstood {
                message: format!("{status}: {text}"),
            },
        }
    }
}

/// All of a file in PEM.
fn certificates(file: &Path) -> Result<Vec<Certificate>, CliError> {
    let bytes = std::fs::read(file).map_err(CliError::io(format!("read {}", file.display())))?;
    let certificates = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
    if certificates.is_empty() {
        let message = format!("{} is no certificate in PEM", file.display());
        return Err(CliError::Usage(message));
    }
    Ok(certificates)
}

async fn decoded<T: DeserializeOwned>(response: Response) -> Result<T, CliError> {
    let text = response.text().await.map_err(|error| CliError::NotUnderstood {
        message: error.to_string(),
    })?;
    serde_json::from_str(&text).map_err(|error| CliError::NotUnderstood {
        message: error.to_string(),
    })
}

/// One segment of a path, or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

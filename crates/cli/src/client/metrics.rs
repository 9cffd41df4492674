//! Calls about what was measured of an app.

use jiff::Timestamp;
use mainstay_api::{MetricsResponse, MetricsSeries};

use super::{Client, escaped};
use crate::error::CliError;

impl Client {
    /// `kind` is `cpu_percentage`, `memory_percentage` or `restart_count`.
    pub(crate) async fn measured(
        &self,
        kind: &str,
        app: &str,
        component: Option<&str>,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<Vec<MetricsSeries>, CliError> {
        let component = component.map(|name| format!("&app_component={}", escaped(name)));
        let path = format!(
            "/v2/monitoring/metrics/apps/{kind}?app_id={app}&start={}&end={}{}",
            start.as_second(),
            end.as_second(),
            component.unwrap_or_default()
        );
        let answer: MetricsResponse = self.get(&path).await?;
        Ok(answer.data.result)
    }
}

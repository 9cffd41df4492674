//! `mainstay apps metrics`: what was last measured of each instance.

use std::{collections::BTreeMap, process::ExitCode};

use jiff::{SignedDuration, Timestamp};
use mainstay_api::MetricsSeries;
use serde::Serialize;

use crate::{
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

/// What was measured before is not how it is now. The clocks of here and there may differ, too.
const LOOKED_BACK: SignedDuration = SignedDuration::from_mins(15);

/// The last values of one place. A use that was not measured is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Use {
    component: String,
    instance: String,
    cpu_percentage: String,
    memory_percentage: String,
    restart_count: String,
    at: Option<Timestamp>,
}

pub(super) async fn last(
    client: &Client,
    output: &Output,
    app: &str,
    component: Option<&str>,
) -> Result<ExitCode, CliError> {
    output.check(&COLUMNS)?;
    let app = client.app(app).await?;
    let now = Timestamp::now();
    let around = |by| now.checked_add(by).unwrap_or(now);
    let window = (around(-LOOKED_BACK), around(LOOKED_BACK));
    let measured = |kind| client.measured(kind, &app.id, component, window);
    let (cpu, memory) = (
        measured("cpu_percentage").await?,
        measured("memory_percentage").await?,
    );
    let restarts = measured("restart_count").await?;
    output.list(&last_of_each(&cpu, &memory, &restarts), &COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [Column<Use>; 6] = [
    Column::new("ComponentName", "COMPONENT", |used| used.component.clone()),
    Column::new("Name", "INSTANCE", |used| used.instance.clone()),
    Column::new("CPU", "CPU %", |used| used.cpu_percentage.clone()),
    Column::new("Memory", "MEMORY %", |used| used.memory_percentage.clone()),
    Column::new("Restarts", "RESTARTS", |used| used.restart_count.clone()),
    Column::new("At", "AT", |used| time(used.at)),
];

/// By component and instance. Restarts are known of every look.
fn last_of_each(cpu: &[MetricsSeries], memory: &[MetricsSeries], restarts: &[MetricsSeries]) -> Vec<Use> {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    let mut take = |all: &[MetricsSeries], of: fn(&mut Use) -> &mut String| {
        for series in all {
            let label = |name: &str| series.metric.get(name).cloned().unwrap_or_default();
            let Some((second, value)) = series.values.last() else {
                continue;
            };
            let instance = label("app_component_instance");
            let used = uses.entry(instance.clone()).or_default();
            used.component = label("app_component");
            used.instance = instance;
            used.at = used.at.max(Timestamp::from_second(*second).ok());
            value.clone_into(of(used));
        }
    };
    take(cpu, |used| &mut used.cpu_percentage);
    take(memory, |used| &mut used.memory_percentage);
    take(restarts, |used| &mut used.restart_count);
    uses.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(instance: &str, values: &[(i64, &str)]) -> MetricsSeries {
        let labels = [("app_component", "web"), ("app_component_instance", instance)];
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        MetricsSeries {
            metric: labels.into_iter().map(owned).collect(),
            values: values
                .iter()
                .map(|(at, value)| (*at, (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn each_instance_has_its_last_values() {
        let cpu = [series("web-0", &[(60, "1.00"), (120, "2.00")])];
        let memory = [series("web-1", &[(60, "50.00")])];
        let restarts = [
            series("web-0", &[(60, "0"), (180, "3")]),
            series("web-1", &[(60, "0")]),
        ];
        let uses = last_of_each(&cpu, &memory, &restarts);
        let shown: Vec<_> = uses
            .iter()
            .map(|used| {
                let Use {
                    instance,
                    cpu_percentage,
                    memory_percentage,
                    restart_count,
                    at,
                    ..
                } = used;
                let at = at.map(Timestamp::as_second);
                format!("{instance} {cpu_percentage} {memory_percentage} {restart_count} {at:?}")
            })
            .collect();
        assert_eq!(shown, ["web-0 2.00  3 Some(180)", "web-1  50.00 0 Some(60)"]);
    }
}

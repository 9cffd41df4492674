//! `mainstay limits`.

use std::process::ExitCode;

use mainstay_api::Limit;

use crate::{
    client::Client,
    error::CliError,
    output::{Output, table},
};

const MIB: u64 = 1 << 20;

pub(super) async fn limits(client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let limits = client.limits().await?;
    output.data(&limits, || {
        let rows: Vec<_> = limits.iter().map(row).collect();
        table(&["OF", "RESOURCE", "USED", "LIMIT"], &rows)
    });
    Ok(ExitCode::SUCCESS)
}

fn row(limit: &Limit) -> Vec<String> {
    let shown = |amount: u64| match limit.unit.as_str() {
        "bytes" => format!("{} MiB", amount / MIB),
        "cpu_millis" => format!("{}.{} cores", amount / 1000, amount % 1000 / 100),
        _ => amount.to_string(),
    };
    let of = match limit.scope.as_str() {
        "node" => "this machine",
        _ => "the account",
    };
    vec![
        of.to_owned(),
        limit.resource.clone(),
        shown(limit.used),
        limit.limit.map_or("none".to_owned(), shown),
    ]
}

//! `mainstay limits`.

use std::process::ExitCode;

use mainstay_api::Limit;

use crate::{
    args::OfAccount,
    client::Client,
    error::CliError,
    output::{Column, Output},
};

const MIB: u64 = 1 << 20;

pub(super) async fn limits(client: &Client, output: &Output, of: &OfAccount) -> Result<ExitCode, CliError> {
    let limits = client.limits(of.account.as_deref()).await?;
    output.list(&limits, &COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) const COLUMNS: [Column<Limit>; 5] = [
    Column::new("Of", "OF", |limit| {
        match limit.scope.as_str() {
            "node" => "this machine",
            _ => "the account",
        }
        .to_owned()
    }),
    Column::new("Resource", "RESOURCE", |limit| limit.resource.clone()),
    Column::new("Used", "USED", |limit| shown(limit, limit.used)),
    Column::new("Limit", "LIMIT", |limit| {
        let amount = limit.limit.map(|amount| shown(limit, amount));
        amount.unwrap_or_else(|| "none".to_owned())
    }),
    Column::on_request("Overridden", "OVERRIDDEN", |limit| limit.overridden.to_string()),
];

fn shown(limit: &Limit, amount: u64) -> String {
    match limit.unit.as_str() {
        "bytes" => format!("{} MiB", amount / MIB),
        "cpu_millis" => format!("{}.{} cores", amount / 1000, amount % 1000 / 100),
        _ => amount.to_string(),
    }
}

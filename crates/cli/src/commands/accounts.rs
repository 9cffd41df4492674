//! `mainstay accounts` and `mainstay account`.

use std::process::ExitCode;

use mainstay_api::{AccountLimitRequest, AccountLimits, AccountSummary};

use super::limits;
use crate::{
    args::Accounts,
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

pub(super) async fn run(client: &Client, output: &Output, command: Accounts) -> Result<ExitCode, CliError> {
    match command {
        Accounts::List => output.list(&client.accounts().await?, &COLUMNS)?,
        Accounts::Create { name } => show(output, &client.create_account(name).await?)?,
        Accounts::Get { account } => show(output, &client.account(&account).await?)?,
        Accounts::Rename { account, name } => show(output, &client.rename_account(&account, name).await?)?,
        Accounts::SetLimits { account, limits } => {
            let limits = limits
                .into_iter()
                .map(|(resource, limit)| AccountLimitRequest { resource, limit });
            let limits = client.set_account_limits(&account, limits.collect()).await?;
            output.list(&limits, &limits::COLUMNS)?;
        }
        Accounts::Remove { account } => {
            client.remove_account(&account).await?;
            output.data(&serde_json::json!({ "account": account }), || {
                format!("Account {account} is removed.")
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose token is used.
pub(super) async fn who(client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    output.list(&[client.who().await?], &WHO_COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, account: &AccountSummary) -> Result<(), CliError> {
    output.list(std::slice::from_ref(account), &COLUMNS)
}

const COLUMNS: [Column<AccountSummary>; 4] = [
    Column::new("ID", "ID", |account| account.id.clone()),
    Column::new("Name", "NAME", |account| account.name.clone()),
    Column::new("Apps", "APPS", |account| account.apps.to_string()),
    Column::new("Created", "CREATED", |account| time(account.created_at)),
];

const WHO_COLUMNS: [Column<AccountLimits>; 4] = [
    Column::new("Email", "USER EMAIL", |who| who.account.email.clone()),
    Column::new("Team", "TEAM", team),
    Column::new("UUID", "USER UUID", |who| who.account.uuid.clone()),
    Column::new("Status", "STATUS", |who| who.account.status.clone()),
];

/// The name of its account.
pub(super) fn team(who: &AccountLimits) -> String {
    let team = who.account.team.as_ref();
    team.map(|team| team.name.clone()).unwrap_or_default()
}

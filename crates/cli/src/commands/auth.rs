//! `mainstay auth` and `mainstay login`: which servers are known here.

use std::{fs, path::PathBuf, process::ExitCode};

use serde::Serialize;
use url::Url;

use super::accounts;
use crate::{
    args::{Auth, Login, Named},
    client::Client,
    connection::{Given, URL_DEFAULT, is_this_machine, without_slash},
    contexts::{Context, ContextFile, Contexts, DEFAULT_NAME},
    error::CliError,
    output::{Column, Output},
    secret_input,
};

pub(super) async fn run(given: &Given, output: &Output, command: Auth) -> Result<ExitCode, CliError> {
    match command {
        Auth::Login(wish) => return login(given, output, &wish).await,
        Auth::List => {
            let contexts = ContextFile::of_user()?.read()?;
            output.list(&rows(&contexts), &COLUMNS)?;
        }
        Auth::Switch(named) => change(given, output, named, Contexts::switch)?,
        Auth::Remove(named) => change(given, output, named, Contexts::remove)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing is kept of a token that the server does not know.
pub(super) async fn login(given: &Given, output: &Output, wish: &Login) -> Result<ExitCode, CliError> {
    output.check(&COLUMNS)?;
    let file = ContextFile::of_user()?;
    let mut contexts = file.read()?;
    let name = given.context.as_deref().unwrap_or(DEFAULT_NAME);
    // Under a new name there is nothing yet.
    let before = contexts
        .all()
        .find(|(known, _)| *known == name)
        .map(|(_, context)| context);
    let url = given
        .url
        .as_deref()
        .or(before.map(|context| context.url.as_str()));
    let url = checked_url(url.unwrap_or(URL_DEFAULT))?;
    let same = before.filter(|context| context.url == url);
    let ca_file = match &given.authority {
        Some(file) => Some(absolute(file)?),
        None => same.and_then(|context| context.ca_file.clone()),
    };
    let token =
        secret_input::read_line(&format!("Token for {url}")).map_err(CliError::io("read the token"))?;
    let mut context = Context {
        url,
        token: checked_token(token)?,
        ca_file,
        account: None,
    };
    if !wish.unchecked {
        let client = Client::new(&context.url, context.token.clone(), context.ca_file.as_deref())?;
        let account = accounts::team(&client.who().await?);
        context.account = Some(account).filter(|account| !account.is_empty());
    }
    contexts.put(name, context)?;
    file.write(&contexts)?;
    tell(output, &contexts, name, || {
        format!(
            "Logged in as `{name}`, which is the current context now; its token is in {}.",
            file.path().display()
        )
    })
}

fn change(
    given: &Given,
    output: &Output,
    named: Named,
    change: impl Fn(&mut Contexts, &str) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let file = ContextFile::of_user()?;
    let mut contexts = file.read()?;
    let name = named.name.or_else(|| given.context.clone());
    let name =
        name.ok_or_else(|| CliError::Usage("name the context: `mainstay auth list` has them".into()))?;
    change(&mut contexts, &name)?;
    file.write(&contexts)?;
    output.list(&rows(&contexts), &COLUMNS)
}

fn tell(
    output: &Output,
    contexts: &Contexts,
    name: &str,
    text: impl FnOnce() -> String,
) -> Result<ExitCode, CliError> {
    let rows = rows(contexts);
    if let Some(row) = rows.iter().find(|row| row.name == name) {
        output.one(row, &COLUMNS, text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As given, without a slash at its end. Where others can listen in, that is said.
fn checked_url(text: &str) -> Result<String, CliError> {
    let wrong = |what: &str| CliError::Usage(format!("{text:?} is no address of an API: {what}"));
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("it has neither a user nor a query"));
    }
    if url.scheme() == "http" && !is_this_machine(&url) {
        eprintln!("warning: {text} is not encrypted: others on the way can read the token");
    }
    Ok(without_slash(text).to_owned())
}

fn checked_token(token: String) -> Result<String, CliError> {
    if token.is_empty() {
        return Err(CliError::Usage("no token was given on standard input".into()));
    }
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(CliError::Usage(
            "what was given on standard input is no token".into(),
        ));
    }
    Ok(token)
}

/// Commands are run elsewhere later.
fn absolute(file: &PathBuf) -> Result<PathBuf, CliError> {
    fs::canonicalize(file).map_err(CliError::io(format!("find {}", file.display())))
}

/// A context without its token.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    current: bool,
}

fn rows(contexts: &Contexts) -> Vec<Row> {
    let row = |(name, context): (&str, &Context)| Row {
        name: name.to_owned(),
        url: context.url.clone(),
        ca_file: context.ca_file.clone(),
        account: context.account.clone(),
        current: contexts.is_current(name),
    };
    contexts.all().map(row).collect()
}

const COLUMNS: [Column<Row>; 5] = [
    Column::new("Name", "NAME", |row| row.name.clone()),
    Column::new("Current", "CURRENT", |row| {
        if row.current { "*" } else { "" }.to_owned()
    }),
    Column::new("URL", "URL", |row| row.url.clone()),
    Column::new("Account", "ACCOUNT", |row| {
        row.account.clone().unwrap_or_default()
    }),
    Column::new("CAFile", "CA FILE", |row| {
        let file = row.ca_file.as_ref();
        file.map(|file| file.display().to_string()).unwrap_or_default()
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_looked_at_before_they_are_kept() {
        assert_eq!(checked_url("https://p:4400/").unwrap(), "https://p:4400");
        assert_eq!(
            checked_url("http://127.0.0.1:4400").unwrap(),
            "http://127.0.0.1:4400"
        );
        for wrong in ["p:4400", "ftp://p", "https://", "https://u:p@h", "https://h/?a=b"] {
            assert!(checked_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        assert_eq!(checked_token("mst_1".into()).unwrap(), "mst_1");
        for wrong in ["", "mst 1", "mst\u{7}", "tökén"] {
            assert!(checked_token(wrong.into()).is_err(), "{wrong}");
        }
    }
}

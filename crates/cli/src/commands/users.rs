//! `mainstay users`.

use std::process::ExitCode;

use mainstay_api::{AccountUser, CreateUserRequest, UpdateUserRequest, UserRole};

use crate::{
    args::{Role, Users},
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

pub(super) async fn run(client: &Client, output: &Output, command: Users) -> Result<ExitCode, CliError> {
    match command {
        Users::List { of } => {
            let users = client.users(of.account.as_deref()).await?;
            output.list(&users, &COLUMNS)?;
        }
        Users::Create {
            email,
            name,
            role,
            of,
        } => {
            let request = CreateUserRequest {
                email,
                name: name.unwrap_or_default(),
                role: Some(word(role)),
            };
            show(
                output,
                &client.create_user(of.account.as_deref(), &request).await?,
            )?;
        }
        Users::Update { user, name, role, of } => {
            let request = UpdateUserRequest {
                name,
                role: role.map(word),
                disabled: None,
            };
            change(client, output, (&user, of.account.as_deref()), &request).await?;
        }
        Users::Disable { user, of } => able(client, output, (&user, of.account.as_deref()), true).await?,
        Users::Enable { user, of } => able(client, output, (&user, of.account.as_deref()), false).await?,
        Users::Remove { user, of } => {
            client.remove_user(of.account.as_deref(), &user).await?;
            output.data(&serde_json::json!({ "user": user }), || {
                format!("User {user} is removed.")
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn able(
    client: &Client,
    output: &Output,
    whom: (&str, Option<&str>),
    disabled: bool,
) -> Result<(), CliError> {
    let request = UpdateUserRequest {
        disabled: Some(disabled),
        ..UpdateUserRequest::default()
    };
    change(client, output, whom, &request).await
}

async fn change(
    client: &Client,
    output: &Output,
    (user, account): (&str, Option<&str>),
    request: &UpdateUserRequest,
) -> Result<(), CliError> {
    show(output, &client.update_user(account, user, request).await?)
}

fn show(output: &Output, user: &AccountUser) -> Result<(), CliError> {
    output.list(std::slice::from_ref(user), &COLUMNS)
}

fn word(role: Role) -> UserRole {
    match role {
        Role::Owner => UserRole::Owner,
        Role::Member => UserRole::Member,
    }
}

const COLUMNS: [Column<AccountUser>; 6] = [
    Column::new("ID", "ID", |user| user.id.clone()),
    Column::new("Email", "EMAIL", |user| user.email.clone()),
    Column::new("Name", "NAME", |user| user.name.clone()),
    Column::new("Role", "ROLE", |user| user.role.to_string()),
    Column::new("State", "STATE", |user| match user.disabled_at {
        Some(at) => format!("disabled {}", time(Some(at))),
        None => "active".into(),
    }),
    Column::on_request("Created", "CREATED", |user| time(user.created_at)),
];

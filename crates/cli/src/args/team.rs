//! `mainstay accounts` and `mainstay users`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Accounts {
    /// List the accounts.
    #[command(visible_alias = "ls")]
    List,
    /// Make an account, without users yet: `mainstay users create --account NAME` makes the first one.
    Create { name: String },
    /// Show an account, by name or id.
    #[command(visible_alias = "g")]
    Get { account: String },
    /// Give an account another name. Its apps keep their hosts.
    Rename { account: String, name: String },
    /// Let an account take more or less than others; `mainstay limits --account NAME` shows what it may.
    SetLimits {
        account: String,
        /// `apps=20`, `memory=8589934592`, `instances=default`; in the API's units: bytes, thousandths of a core, numbers.
        #[arg(required = true, value_name = "RESOURCE=AMOUNT", value_parser = limit)]
        limits: Vec<(String, Option<u64>)>,
    },
    /// Remove an account that has neither apps nor registered clusters, with its users and their tokens.
    #[command(visible_alias = "rm")]
    Remove { account: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List the users.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Make a user, without tokens yet: `mainstay tokens create --user EMAIL` makes the first one.
    Create {
        email: String,
        /// The address when not given.
        #[arg(long)]
        name: Option<String>,
        /// `owner`: may do everything within the account; `member`: tokens that read and write, and no more.
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
        #[command(flatten)]
        of: OfAccount,
    },
    /// Change a user's name or role.
    Update {
        /// Address or id.
        user: String,
        #[arg(long, required_unless_present = "role")]
        name: Option<String>,
        #[arg(long, value_enum)]
        role: Option<Role>,
        #[command(flatten)]
        of: OfAccount,
    },
    /// End all that a user's tokens may do, at once, until the user is enabled again.
    Disable {
        user: String,
        #[command(flatten)]
        of: OfAccount,
    },
    /// Let the tokens of a disabled user do again what they did.
    Enable {
        user: String,
        #[command(flatten)]
        of: OfAccount,
    },
    /// Remove a user none of whose tokens is good.
    #[command(visible_alias = "rm")]
    Remove {
        user: String,
        #[command(flatten)]
        of: OfAccount,
    },
}

/// Of the account that the token is of, or of another one.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct OfAccount {
    /// Of this account, by name or id, instead of the token's own; for the operator.
    #[arg(long)]
    pub account: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Owner,
    Member,
}

/// `apps=20`, or `apps=default`.
fn limit(text: &str) -> Result<(String, Option<u64>), String> {
    let (resource, amount) = text
        .split_once('=')
        .ok_or_else(|| "it has to be RESOURCE=AMOUNT".to_owned())?;
    let amount = match amount {
        "default" => None,
        number => Some(
            number
                .parse()
                .map_err(|_| format!("{number:?} is neither a number nor `default`"))?,
        ),
    };
    Ok((resource.to_owned(), amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_resource_with_a_number_or_the_default() {
        assert_eq!(limit("apps=20"), Ok(("apps".into(), Some(20))));
        assert_eq!(limit("static-sites=default"), Ok(("static-sites".into(), None)));
        for wrong in ["apps", "apps=", "apps=-1", "apps=many"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}

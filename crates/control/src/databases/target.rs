//! Which databases a component was told to use: the connection URLs among its variables.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use url::Url;

use super::postgres;

/// A PostgreSQL database, as a variable of a component names it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The variable.
    pub(super) variable: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    /// `sslmode=disable`.
    pub(super) without_tls: bool,
}

/// Never with the password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("variable", &self.variable)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("without_tls", &self.without_tls)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// "db:5432".
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Each once, however many variables name it.
pub(super) fn targets(variables: &BTreeMap<String, String>) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    for (variable, value) in variables {
        let Some(target) = parse(variable, value) else {
            continue;
        };
        let same = |known: &Target| {
            Target {
                variable: variable.clone(),
                ..known.clone()
            } == target
        };
        if !found.iter().any(same) {
            found.push(target);
        }
    }
    found
}

/// libpq's URL form, also with a driver in the scheme, as SQLAlchemy has it ("postgresql+psycopg").
fn parse(variable: &str, value: &str) -> Option<Target> {
    let url = Url::parse(value).ok()?;
    let scheme = url.scheme().split('+').next()?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
    let user = decoded(url.username())?;
    let database = decoded(url.path().trim_start_matches('/'))?;
    let without_tls = url
        .query_pairs()
        .any(|(name, value)| name == "sslmode" && value == "disable");
    Some(Target {
        variable: variable.to_owned(),
        host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
        port: url.port().unwrap_or(postgres::PORT),
        password: decoded(url.password().unwrap_or_default())?,
        // As libpq: the database is called like the user unless it is given.
        database: if database.is_empty() {
            user.clone()
        } else {
            database
        },
        user,
        without_tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Target> {
        parse("DATABASE_URL", value)
    }

    #[test]
    fn urls_of_postgresql_are_read_whatever_driver_they_name() {
        let target = read("postgresql+psycopg://us%40er:p%2Fw@db/shop?sslmode=disable").unwrap();
        assert_eq!(
            (
                target.user.as_str(),
                target.password.as_str(),
                target.database.as_str()
            ),
            ("us@er", "p/w", "shop")
        );
        assert_eq!((target.address().as_str(), target.without_tls), ("db:5432", true));
        assert_eq!(read("postgres://me@db:5433").unwrap().database, "me");
    }

    #[test]
    fn other_values_are_no_databases() {
        for value in [
            "",
            "db:5432",
            "redis://db:6379",
            "https://example.com/",
            "postgres:///shop",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn a_database_that_two_variables_name_is_one() {
        let url = "postgres://a:b@db/c".to_owned();
        let variables = [("A".to_owned(), url.clone()), ("B".to_owned(), url)].into();
        assert_eq!(targets(&variables).len(), 1);
    }
}

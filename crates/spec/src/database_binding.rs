//! What `${db.…}` stands for: how an app reaches one of its databases.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::environment::Value;

/// Everything in a part of a URL that is not unreserved (RFC 3986 section 2.3) is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A PostgreSQL database as an app reaches it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseBinding {
    pub hostname: String,
    pub port: u16,
    pub username: String,
    pub password: String,
    pub database: String,
    /// PEM.
    pub ca_certificate: String,
}

impl DatabaseBinding {
    /// The variables that [`Self::value`] knows.
    pub const VARIABLES: [&str; 8] = [
        "HOSTNAME",
        "PORT",
        "USERNAME",
        "PASSWORD",
        "DATABASE",
        "DATABASE_URL",
        "JDBC_DATABASE_URL",
        "CA_CERT",
    ];

    /// The value of `${db.<variable>}`; `None` for a variable that databases of this engine do not have.
    pub(crate) fn value(&self, variable: &str) -> Option<Value> {
        Some(match variable {
            "HOSTNAME" => Value::open(self.hostname.clone()),
            "PORT" => Value::open(self.port.to_string()),
            "USERNAME" => Value::open(self.username.clone()),
            "PASSWORD" => Value::secret(self.password.clone()),
            "DATABASE" => Value::open(self.database.clone()),
            "CA_CERT" => Value::open(self.ca_certificate.clone()),
            "DATABASE_URL" => Value::secret(self.url()),
            "JDBC_DATABASE_URL" => Value::secret(self.jdbc_url()),
            _ => return None,
        })
    }

    /// libpq's URL form (PostgreSQL manual, "Connection URIs").
    pub(crate) fn url(&self) -> String {
        format!(
            "postgresql://{}:{}@{}:{}/{}?sslmode=require",
            escaped(&self.username),
            escaped(&self.password),
            self.hostname,
            self.port,
            escaped(&self.database),
        )
    }

    /// The form of PostgreSQL's JDBC driver.
    fn jdbc_url(&self) -> String {
        format!(
            "jdbc:postgresql://{}:{}/{}?user={}&password={}&sslmode=require",
            self.hostname,
            self.port,
            escaped(&self.database),
            escaped(&self.username),
            escaped(&self.password),
        )
    }
}

impl std::fmt::Debug for DatabaseBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseBinding")
            .field("hostname", &self.hostname)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> DatabaseBinding {
        DatabaseBinding {
            hostname: "db".into(),
            port: 5432,
            username: "shop-user".into(),
            password: "p@ss/wörd".into(),
            database: "shop".into(),
            ca_certificate: "-----BEGIN CERTIFICATE-----\n".into(),
        }
    }

    #[test]
    fn every_variable_has_a_value_and_what_holds_the_password_is_secret() {
        for variable in DatabaseBinding::VARIABLES {
            let value = binding().value(variable).unwrap();
            let tells = value.text.contains("p@ss") || value.text.contains("p%40ss");
            assert_eq!(value.secret, tells, "{variable}");
        }
        assert_eq!(binding().value("REDIS_URL"), None);
    }

    #[test]
    fn urls_are_escaped() {
        assert_eq!(
            binding().url(),
            "postgresql://shop-user:p%40ss%2Fw%C3%B6rd@db:5432/shop?sslmode=require"
        );
        assert_eq!(
            binding().jdbc_url(),
            "jdbc:postgresql://db:5432/shop?user=shop-user&password=p%40ss%2Fw%C3%B6rd&sslmode=require"
        );
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", binding()).contains("p@ss"));
    }
}

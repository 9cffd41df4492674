//! What `${db.…}` stands for: how an app reaches one of its databases.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{environment::Value, model::DatabaseEngine};

/// Everything in a part of a URL that is not unreserved (RFC 3986 section 2.3) is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A database as an app reaches it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseBinding {
    pub engine: DatabaseEngine,
    pub hostname: String,
    pub port: u16,
    pub username: String,
    pub password: String,
    pub database: String,
    /// PEM; empty where nobody said who vouches for the server.
    pub ca_certificate: String,
    /// Whether the server speaks TLS.
    pub tls: bool,
}

impl DatabaseBinding {
    /// The variables that [`Self::value`] knows, of databases of any engine.
    pub const VARIABLES: [&str; 9] = [
        "HOSTNAME",
        "PORT",
        "USERNAME",
        "PASSWORD",
        "DATABASE",
        "DATABASE_URL",
        "JDBC_DATABASE_URL",
        "REDIS_URL",
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
            "DATABASE_URL" => Value::secret(self.url()?),
            "JDBC_DATABASE_URL" => Value::secret(self.jdbc_url()?),
            "REDIS_URL" if self.is_redis() => Value::secret(self.url()?),
            _ => return None,
        })
    }

    /// The form that the engine's own clients take: for PostgreSQL libpq's (its manual, "Connection URIs"). `None` where they take none.
    pub(crate) fn url(&self) -> Option<String> {
        let (scheme, query) = match self.engine {
            DatabaseEngine::Unset | DatabaseEngine::Pg => (
                "postgresql",
                if self.tls {
                    "?sslmode=require"
                } else {
                    "?sslmode=disable"
                },
            ),
            DatabaseEngine::Mysql => (
                "mysql",
                if self.tls {
                    "?ssl-mode=REQUIRED"
                } else {
                    "?ssl-mode=DISABLED"
                },
            ),
            DatabaseEngine::Redis | DatabaseEngine::Valkey => (if self.tls { "rediss" } else { "redis" }, ""),
            DatabaseEngine::Mongodb => (
                "mongodb",
                if self.tls {
                    "?tls=true&authSource=admin"
                } else {
                    "?authSource=admin"
                },
            ),
            DatabaseEngine::Opensearch => (if self.tls { "https" } else { "http" }, ""),
            DatabaseEngine::Kafka => return None,
        };
        let path = match (self.database.as_str(), query) {
            ("", "") => String::new(),
            (database, _) => format!("/{}", escaped(database)),
        };
        Some(format!(
            "{scheme}://{}:{}@{}{path}{query}",
            escaped(&self.username),
            escaped(&self.password),
            self.authority(),
        ))
    }

    /// The same without the password, for people; host and port where clients take no URL.
    pub fn shown_url(&self) -> String {
        let hidden = Self {
            password: String::new(),
            ..self.clone()
        };
        let url = hidden.url().unwrap_or_else(|| hidden.authority());
        url.replacen(":@", "@", 1)
    }

    /// The form of Java's drivers, of those engines that have one.
    fn jdbc_url(&self) -> Option<String> {
        let (scheme, tls) = match (self.engine, self.tls) {
            (DatabaseEngine::Unset | DatabaseEngine::Pg, true) => ("postgresql", "sslmode=require"),
            (DatabaseEngine::Unset | DatabaseEngine::Pg, false) => ("postgresql", "sslmode=disable"),
            (DatabaseEngine::Mysql, true) => ("mysql", "sslMode=REQUIRED"),
            (DatabaseEngine::Mysql, false) => ("mysql", "sslMode=DISABLED"),
            _ => return None,
        };
        Some(format!(
            "jdbc:{scheme}://{}/{}?user={}&password={}&{tls}",
            self.authority(),
            escaped(&self.database),
            escaped(&self.username),
            escaped(&self.password),
        ))
    }

    /// Host and port as a URL has them.
    fn authority(&self) -> String {
        if self.hostname.contains(':') {
            format!("[{}]:{}", self.hostname, self.port)
        } else {
            format!("{}:{}", self.hostname, self.port)
        }
    }

    fn is_redis(&self) -> bool {
        matches!(self.engine, DatabaseEngine::Redis | DatabaseEngine::Valkey)
    }
}

impl std::fmt::Debug for DatabaseBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseBinding")
            .field("engine", &self.engine)
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

    fn binding(engine: DatabaseEngine) -> DatabaseBinding {
        DatabaseBinding {
            engine,
            hostname: "db".into(),
            port: 5432,
            username: "shop-user".into(),
            password: "p@ss/wörd".into(),
            database: "shop".into(),
            ca_certificate: "-----BEGIN CERTIFICATE-----\n".into(),
            tls: true,
        }
    }

    const ENGINES: [DatabaseEngine; 8] = [
        DatabaseEngine::Unset,
        DatabaseEngine::Mysql,
        DatabaseEngine::Pg,
        DatabaseEngine::Redis,
        DatabaseEngine::Mongodb,
        DatabaseEngine::Kafka,
        DatabaseEngine::Opensearch,
        DatabaseEngine::Valkey,
    ];

    #[test]
    fn what_holds_the_password_is_secret_whatever_the_engine() {
        for engine in ENGINES {
            for variable in DatabaseBinding::VARIABLES {
                let Some(value) = binding(engine).value(variable) else {
                    continue;
                };
                let tells = value.text.contains("p@ss") || value.text.contains("p%40ss");
                assert_eq!(value.secret, tells, "{engine:?} {variable}");
            }
        }
    }

    #[test]
    fn engines_have_the_variables_that_their_clients_take() {
        let lacking = |engine| {
            let lacks = |variable: &&str| binding(engine).value(variable).is_none();
            DatabaseBinding::VARIABLES
                .into_iter()
                .filter(lacks)
                .collect::<Vec<_>>()
        };
        assert_eq!(lacking(DatabaseEngine::Pg), ["REDIS_URL"]);
        assert_eq!(lacking(DatabaseEngine::Mysql), ["REDIS_URL"]);
        assert_eq!(lacking(DatabaseEngine::Redis), ["JDBC_DATABASE_URL"]);
        assert_eq!(lacking(DatabaseEngine::Valkey), ["JDBC_DATABASE_URL"]);
        assert_eq!(
            lacking(DatabaseEngine::Mongodb),
            ["JDBC_DATABASE_URL", "REDIS_URL"]
        );
        let none = ["DATABASE_URL", "JDBC_DATABASE_URL", "REDIS_URL"];
        assert_eq!(lacking(DatabaseEngine::Kafka), none);
    }

    fn url(binding: &DatabaseBinding) -> String {
        binding.url().unwrap()
    }

    #[test]
    fn urls_are_escaped_and_say_whether_tls_is_spoken() {
        let tls = binding(DatabaseEngine::Pg);
        let plain = DatabaseBinding {
            tls: false,
            ..tls.clone()
        };
        let login = "shop-user:p%40ss%2Fw%C3%B6rd@db:5432";
        assert_eq!(url(&tls), format!("postgresql://{login}/shop?sslmode=require"));
        assert_eq!(url(&plain), format!("postgresql://{login}/shop?sslmode=disable"));
        assert_eq!(
            tls.jdbc_url().unwrap(),
            "jdbc:postgresql://db:5432/shop?user=shop-user&password=p%40ss%2Fw%C3%B6rd&sslmode=require"
        );
        assert_eq!(
            url(&binding(DatabaseEngine::Mysql)),
            format!("mysql://{login}/shop?ssl-mode=REQUIRED")
        );
        assert_eq!(
            url(&binding(DatabaseEngine::Mongodb)),
            format!("mongodb://{login}/shop?tls=true&authSource=admin")
        );
        let valkey = DatabaseBinding {
            database: String::new(),
            ..binding(DatabaseEngine::Valkey)
        };
        assert_eq!(url(&valkey), format!("rediss://{login}"));
        let numbered = DatabaseBinding {
            hostname: "2001:db8::1".into(),
            ..tls
        };
        assert!(url(&numbered).contains("@[2001:db8::1]:5432/"));
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let shown = |engine| binding(engine).shown_url();
        assert_eq!(
            shown(DatabaseEngine::Pg),
            "postgresql://shop-user@db:5432/shop?sslmode=require"
        );
        assert_eq!(shown(DatabaseEngine::Kafka), "db:5432");
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", binding(DatabaseEngine::Pg)).contains("p@ss"));
    }
}

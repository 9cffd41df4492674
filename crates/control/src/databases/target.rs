//! Which databases a component was told to use: the connection URLs among its variables.

use std::collections::BTreeMap;

use mainstay_spec::{AppSpec, DatabaseEngine, database_binding::DatabaseBinding, environment};
use percent_encoding::percent_decode_str;
use url::Url;

use super::engines::{self, Engine};

/// The only engine of a URL that the platform does not speak to.
const MONGODB_PORT: u16 = 27017;

/// A database, as a variable of a component names it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The variable.
    pub(super) variable: String,
    pub(super) engine: DatabaseEngine,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    /// `sslmode=disable`, `ssl-mode=DISABLED`, or a scheme that means it.
    pub(super) without_tls: bool,
    /// `sslmode=verify-full` or `verify-ca`, `ssl-mode=VERIFY_IDENTITY`: the server's certificate has to be vouched for.
    pub(super) verifies: bool,
}

/// Never with the password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("variable", &self.variable)
            .field("engine", &self.engine)
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

/// Databases that the component is told of in parts instead of by a URL: host and password of one of its app's, in variables of their own.
pub(super) fn in_parts(
    spec: &AppSpec,
    component: &str,
    bindings: &BTreeMap<String, DatabaseBinding>,
    by_url: &[Target],
) -> Vec<Target> {
    let Some(component) = spec.component(component) else {
        return Vec::new();
    };
    let variables = || {
        let all = component.variables().iter().chain(&spec.envs);
        all.filter(|variable| variable.scope().at_run())
    };
    let naming = |reference: String| {
        variables()
            .find(|variable| environment::references(variable.value.reveal()).any(|named| named == reference))
    };
    let told = bindings.iter().filter_map(|(name, binding)| {
        let host = naming(format!("{name}.HOSTNAME"))?;
        naming(format!("{name}.PASSWORD"))?;
        let variable = naming(format!("{name}.DATABASE")).unwrap_or(host);
        Some(Target {
            variable: variable.key.clone(),
            engine: binding.engine,
            host: binding.hostname.clone(),
            port: binding.port,
            user: binding.username.clone(),
            password: binding.password.clone(),
            database: binding.database.clone(),
            without_tls: !binding.tls,
            verifies: false,
        })
    });
    let is_new = |target: &Target| by_url.iter().all(|other| other.address() != target.address());
    told.filter(is_new).collect()
}

/// The engine of a URL, and the port that its clients take when none is given.
fn engine(scheme: &str) -> Option<(DatabaseEngine, u16)> {
    let engine = match scheme {
        "postgres" | "postgresql" => DatabaseEngine::Pg,
        "mysql" | "mysql2" | "mariadb" => DatabaseEngine::Mysql,
        "redis" | "rediss" => DatabaseEngine::Redis,
        "valkey" | "valkeys" => DatabaseEngine::Valkey,
        "mongodb" => DatabaseEngine::Mongodb,
        _ => return None,
    };
    let port = engines::of(engine).map_or(MONGODB_PORT, Engine::port);
    Some((engine, port))
}

/// libpq's URL form, which other engines' clients share, also with a driver in the scheme, as SQLAlchemy has it ("postgresql+psycopg").
fn parse(variable: &str, value: &str) -> Option<Target> {
    let url = Url::parse(value).ok()?;
    // "mongodb+srv" names no address.
    if url.scheme() == "mongodb+srv" {
        return None;
    }
    let (engine, port) = engine(url.scheme().split('+').next()?)?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
    let user = decoded(url.username())?;
    let database = decoded(url.path().trim_start_matches('/'))?;
    let mode = url
        .query_pairs()
        .find(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode" | "sslMode"));
    let mode = mode
        .map(|(_, value)| value.to_ascii_lowercase())
        .unwrap_or_default();
    let is_plain =
        matches!(mode.as_str(), "disable" | "disabled") || matches!(url.scheme(), "redis" | "valkey");
    let takes_name_of_user = engine == DatabaseEngine::Pg;
    Some(Target {
        variable: variable.to_owned(),
        engine,
        host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
        port: url.port().unwrap_or(port),
        password: decoded(url.password().unwrap_or_default())?,
        // As libpq: the database is called like the user unless it is given.
        database: if database.is_empty() && takes_name_of_user {
            user.clone()
        } else {
            database
        },
        user,
        without_tls: is_plain,
        verifies: mode.starts_with("verify"),
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
    fn urls_of_other_engines_have_their_own_ports() {
        for (url, engine, address) in [
            ("mysql://a:b@db/shop", DatabaseEngine::Mysql, "db:3306"),
            ("rediss://:secret@cache", DatabaseEngine::Redis, "cache:6379"),
            ("mongodb://a:b@db:27018/shop", DatabaseEngine::Mongodb, "db:27018"),
        ] {
            let target = read(url).unwrap();
            assert_eq!((target.engine, target.address().as_str()), (engine, address));
        }
    }

    #[test]
    fn of_redis_the_scheme_says_whether_tls_is_spoken() {
        let plain = read("redis://:secret@cache").unwrap();
        assert!(plain.without_tls && plain.database.is_empty() && plain.user.is_empty());
        let tls = read("rediss://default:secret@cache:6380/2").unwrap();
        assert_eq!((tls.without_tls, tls.database.as_str()), (false, "2"));
    }

    #[test]
    fn mysql_has_words_of_its_own_for_tls() {
        let target = read("mysql+pymysql://a:b@db/shop?ssl-mode=DISABLED").unwrap();
        assert!(target.without_tls && !target.verifies);
        assert!(
            read("mysql://a:b@db/shop?ssl-mode=VERIFY_IDENTITY")
                .unwrap()
                .verifies
        );
        assert!(!read("mysql://a:b@db/shop?ssl-mode=REQUIRED").unwrap().without_tls);
        // No database at first, for these clients.
        assert_eq!(read("mysql://a:b@db").unwrap().database, "");
    }

    #[test]
    fn certificates_are_looked_at_where_the_url_asks_for_it() {
        let verifies = |mode: &str| read(&format!("postgres://a:b@db/c{mode}")).unwrap().verifies;
        assert!(verifies("?sslmode=verify-full"));
        assert!(!verifies("?sslmode=require") && !verifies(""));
    }

    #[test]
    fn a_database_may_be_told_of_in_parts() {
        let spec = |envs: &str| {
            let text = format!(
                "name: shop\nworkers: [{{name: work, git: {{repo_clone_url: 'https://h/a'}}, envs: [{envs}]}}]\n\
                 databases: [{{name: db, production: true, cluster_name: main}}]"
            );
            let parsed = mainstay_spec::parse(&text, mainstay_spec::Format::Yaml);
            parsed.unwrap_or_else(|errors| panic!("{errors}")).spec
        };
        let binding = DatabaseBinding {
            engine: DatabaseEngine::Pg,
            hostname: "db.example.com".into(),
            port: 25060,
            username: "shop".into(),
            password: "hunter2".into(),
            database: "orders".into(),
            ca_certificate: String::new(),
            tls: true,
        };
        let bindings = BTreeMap::from([("db".to_owned(), binding)]);
        let parts = "{key: H, value: '${db.HOSTNAME}'}, {key: P, value: '${db.PASSWORD}'}, {key: D, value: '${db.DATABASE}'}";
        let told = in_parts(&spec(parts), "work", &bindings, &[]);
        assert_eq!(told.len(), 1);
        let seen = (
            told[0].address(),
            told[0].database.as_str(),
            told[0].variable.as_str(),
        );
        assert_eq!(seen, ("db.example.com:25060".to_owned(), "orders", "D"));
        // The URL says it already; and whoever has no password of it logs in otherwise.
        let url = read("postgres://shop:hunter2@db.example.com:25060/orders").unwrap();
        assert_eq!(in_parts(&spec(parts), "work", &bindings, &[url]), []);
        let host = "{key: H, value: '${db.HOSTNAME}'}";
        assert_eq!(in_parts(&spec(host), "work", &bindings, &[]), []);
    }

    #[test]
    fn other_values_are_no_databases() {
        for value in [
            "",
            "db:5432",
            "mongodb+srv://user:secret@cluster.example.com/shop",
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

//! The servers that there are: what each has on its volume, and the commands that it is made and run by.

use super::{PASSWORD, USER, inside::Step};

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    Postgres(Nature),
    /// As MariaDB.
    Mysql,
    Redis,
    /// The same server by its other name: Debian 12 has none of that name.
    Valkey,
}

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Nothing; its role `shop` owns its database `shop`.
    Good,
    /// It reads its log from an archive that does not answer, and lets nobody in meanwhile.
    Starting,
    /// A firewall swallows whatever comes.
    Silent,
    /// Its role `shop` may not create in the schema `public`, which is another role's.
    Closed,
}

impl Nature {
    /// As a fault's expectation writes it, and as its cluster is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Starting => "starting",
            Self::Silent => "silent",
            Self::Closed => "closed",
        }
    }
}

impl Make {
    /// As `mainstay databases register --engine` takes it.
    pub fn engine(self) -> &'static str {
        match self {
            Self::Postgres(_) => "pg",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// That the user may use.
    pub fn database(self) -> &'static str {
        match self {
            Self::Postgres(_) | Self::Mysql => "shop",
            Self::Redis | Self::Valkey => "0",
        }
    }

    pub(super) fn port(self) -> u16 {
        match self {
            Self::Postgres(_) => 5432,
            Self::Mysql => 3306,
            Self::Redis | Self::Valkey => 6379,
        }
    }

    /// Where the server sees what was prepared: a certificate, its key, and its files.
    pub(super) fn volume(self) -> &'static str {
        match self {
            Self::Postgres(_) => "/var/lib/postgresql",
            Self::Mysql => "/var/lib/mysql",
            Self::Redis | Self::Valkey => "/var/lib/redis",
        }
    }

    /// By name.
    pub(super) fn files(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Postgres(nature) => vec![
                ("settings", postgres_settings(self.volume(), nature)),
                ("access", "hostssl all all 0.0.0.0/0 scram-sha-256\n".to_owned()),
                ("statements", postgres_statements(nature)),
            ],
            Self::Mysql => vec![
                ("settings", mysql_settings(self.volume())),
                ("statements", mysql_statements()),
            ],
            Self::Redis | Self::Valkey => vec![("settings", redis_settings(self.volume()))],
        }
    }

    /// One after the other; the last one serves. `version` is PostgreSQL's.
    pub(super) fn steps(self, version: &str) -> Vec<Step> {
        let volume = self.volume();
        match self {
            Self::Postgres(nature) => postgres_steps(volume, version, nature),
            Self::Mysql => vec![
                Step::new(&[
                    "/usr/bin/mariadb-install-db",
                    "--no-defaults",
                    "--basedir=/usr",
                    &format!("--datadir={volume}/data"),
                    "--auth-root-authentication-method=normal",
                    "--cross-bootstrap",
                    "--skip-test-db",
                    "--innodb-use-native-aio=OFF",
                ]),
                Step::new(&[
                    "/usr/sbin/mariadbd",
                    &format!("--defaults-file={volume}/settings"),
                ]),
            ],
            Self::Redis | Self::Valkey => {
                vec![Step::new(&[
                    "/usr/bin/redis-server",
                    &format!("{volume}/settings"),
                ])]
            }
        }
    }
}

fn postgres_steps(volume: &str, version: &str, nature: Nature) -> Vec<Step> {
    let program = |name: &str| format!("/usr/lib/postgresql/{version}/bin/{name}");
    let data = &format!("{volume}/data");
    let initialize = Step::new(&[
        &program("initdb"),
        "--pgdata",
        data,
        "--username",
        "postgres",
        "--encoding",
        "UTF8",
        "--locale",
        "C.UTF-8",
        "--no-instructions",
    ]);
    let single = Step::new(&[&program("postgres"), "--single", "-D", data, "postgres"]);
    let start_as_from_archive = Step::new(&["/usr/bin/touch", &format!("{data}/recovery.signal")]);
    let settings = format!("config_file={volume}/settings");
    let serve = Step::new(&[&program("postgres"), "-D", data, "-c", &settings]);
    let mut steps = vec![initialize, single.reading(format!("{volume}/statements"))];
    if nature == Nature::Starting {
        steps.push(start_as_from_archive);
    }
    steps.push(serve);
    steps
}

fn postgres_settings(volume: &str, nature: Nature) -> String {
    let more = match nature {
        // As long as the command does not end, the server is starting.
        Nature::Starting => "restore_command = 'sleep 3600'\n",
        _ => "",
    };
    format!(
        "listen_addresses = '*'\nport = 5432\nunix_socket_directories = ''\nssl = on\n\
         ssl_cert_file = '{volume}/server.crt'\nssl_key_file = '{volume}/server.key'\nhba_file = '{volume}/access'\n\
         password_encryption = 'scram-sha-256'\nshared_buffers = '16MB'\n{more}"
    )
}

/// One a line: that is how a server without sessions takes them.
fn postgres_statements(nature: Nature) -> String {
    let owner = match nature {
        Nature::Closed => "postgres",
        _ => USER,
    };
    format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}';\nCREATE DATABASE shop OWNER {owner};\n")
}

fn mysql_settings(volume: &str) -> String {
    format!(
        "[mariadbd]\ndatadir={volume}/data\ntmpdir={volume}\nsocket={volume}/socket\npid_file={volume}/pid\n\
         bind_address=0.0.0.0\nskip_name_resolve=ON\ninit_file={volume}/statements\n\
         ssl_cert={volume}/server.crt\nssl_key={volume}/server.key\n\
         innodb_buffer_pool_size=32M\ninnodb_use_native_aio=OFF\n"
    )
}

/// The user may also use a database that is not there.
fn mysql_statements() -> String {
    format!(
        "CREATE DATABASE shop;\nCREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n\
         GRANT ALL PRIVILEGES ON shop.* TO {USER}@'%';\nGRANT ALL PRIVILEGES ON orders.* TO {USER}@'%';\n"
    )
}

/// With the first four databases.
fn redis_settings(volume: &str) -> String {
    format!(
        "bind 0.0.0.0\nprotected-mode no\nport 0\ntls-port 6379\ntls-cert-file {volume}/server.crt\ntls-key-file {volume}/server.key\n\
         tls-auth-clients no\ndir {volume}\nsave \"\"\ndatabases 4\nuser default off\n\
         user {USER} on >{PASSWORD} ~* &* +@all\n"
    )
}

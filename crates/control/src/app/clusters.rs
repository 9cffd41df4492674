//! Database clusters of others: registered once, and then attached to by specs that name them.

use jiff::Timestamp;
use mainstay_api::RegisterDatabaseRequest;
use mainstay_spec::{
    DatabaseEngine,
    database_binding::DatabaseBinding,
    ids::{AccountId, ClusterId},
};
use mainstay_store::ClusterRow;

use super::{Application, Refusal};
use crate::databases;

/// As long as names of components, but for those of clusters elsewhere.
const NAME_CHARS_MAX: usize = 63;
const FIELD_CHARS_MAX: usize = 255;

/// A cluster, and the apps whose specs name it.
#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) row: ClusterRow,
    pub(crate) apps: Vec<String>,
}

impl Application {
    /// By name.
    pub(crate) async fn clusters(&self, account: AccountId) -> Result<Vec<ClusterView>, Refusal> {
        let mut users = self.platform.store.users_of_clusters(account).await?;
        let rows = self.platform.store.clusters(account).await?.into_iter();
        let view = |row: ClusterRow| ClusterView {
            apps: users.remove(&row.name).unwrap_or_default(),
            row,
        };
        Ok(rows.map(view).collect())
    }

    /// By id or name.
    pub(crate) async fn cluster(&self, account: AccountId, wanted: &str) -> Result<ClusterView, Refusal> {
        let row = self.cluster_row(account, wanted).await?;
        let mut users = self.platform.store.users_of_clusters(account).await?;
        Ok(ClusterView {
            apps: users.remove(&row.name).unwrap_or_default(),
            row,
        })
    }

    async fn cluster_row(&self, account: AccountId, wanted: &str) -> Result<ClusterRow, Refusal> {
        let rows = self.platform.store.clusters(account).await?;
        let is_meant = |row: &ClusterRow| row.name == wanted || row.id.to_string() == wanted;
        rows.into_iter().find(is_meant).ok_or(Refusal::NotFound)
    }

    /// Keeps a cluster, with its password sealed. Its login is tried first where the engine is one that the platform speaks to.
    pub(crate) async fn register_cluster(
        &self,
        account: AccountId,
        request: RegisterDatabaseRequest,
    ) -> Result<ClusterView, Refusal> {
        let known = match self.cluster_row(account, request.name.trim()).await {
            Ok(known) => Some(known),
            Err(Refusal::NotFound) => None,
            Err(other) => return Err(other),
        };
        if let Some(known) = known.as_ref().filter(|_| !request.replace) {
            return Err(is_registered(&known.name));
        }
        let replaces = known.is_some();
        let binding = binding(&request)?;
        if !request.unchecked {
            databases::try_login(&binding).await.map_err(|trouble| {
                let code = trouble.server_code.map_or(String::new(), |code| format!(", code {code}"));
                Refusal::BadRequest(format!(
                    "no session could be had at {}:{}: {}{code} (failing layer: {}); set unchecked=true (`--unchecked`) to register it all the same",
                    binding.hostname,
                    binding.port,
                    trouble.message,
                    trouble.problem.layer(),
                ))
            })?;
        }
        let id = known
            .as_ref()
            .map_or_else(|| ClusterId::from_uuid(uuid::Uuid::new_v4()), |known| known.id);
        let row = ClusterRow {
            id,
            account,
            name: request.name.trim().to_owned(),
            engine: binding.engine.to_string(),
            version: request.version,
            host: binding.hostname,
            port: binding.port,
            user: binding.username,
            password: self.platform.secrets.sealed_password(id, &binding.password),
            database: binding.database,
            ca_certificate: binding.ca_certificate,
            tls: binding.tls,
            created_at: known.map_or_else(Timestamp::now, |known| known.created_at),
        };
        let store = &self.platform.store;
        if replaces {
            store.update_cluster(&row).await?;
        } else if !store.insert_cluster(&row).await? {
            // Somebody was faster, and this one's password is sealed for another id.
            return Err(is_registered(&row.name));
        }
        self.cluster(account, &row.name).await
    }

    /// What is at the cluster stays as it is. Refused while a spec that counts names it.
    pub(crate) async fn remove_cluster(
        &self,
        account: AccountId,
        wanted: &str,
    ) -> Result<ClusterId, Refusal> {
        let ClusterView { row, apps } = self.cluster(account, wanted).await?;
        if !apps.is_empty() {
            return Err(Refusal::Conflict(format!(
                "cluster `{}` is in use by {}: deploy them without it first",
                row.name,
                apps.join(", ")
            )));
        }
        self.platform.store.delete_cluster(row.id).await?;
        Ok(row.id)
    }
}

fn is_registered(name: &str) -> Refusal {
    Refusal::Conflict(format!(
        "a cluster named `{name}` is registered already; set replace=true (`--replace`) to change it"
    ))
}

/// How the cluster is reached, as the request says it.
fn binding(request: &RegisterDatabaseRequest) -> Result<DatabaseBinding, Refusal> {
    let refused = |field: &str, rule: &str| Refusal::BadRequest(format!("{field} {rule}"));
    let name = request.name.trim();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_plain) {
        let rule = format!("must be 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`");
        return Err(refused("name", &rule));
    }
    let engine = databases::engine(&request.engine);
    if engine == DatabaseEngine::Unset {
        return Err(refused(
            "engine",
            "must be one of pg, mysql, redis, valkey, mongodb, kafka, opensearch",
        ));
    }
    let needed = [("host", &request.host), ("user", &request.user)];
    let takes_no_user = matches!(engine, DatabaseEngine::Redis | DatabaseEngine::Valkey);
    for (field, value) in needed {
        if value.is_empty() && !(field == "user" && takes_no_user) {
            return Err(refused(field, "is required"));
        }
    }
    let fields = [
        ("host", &request.host),
        ("user", &request.user),
        ("password", &request.password),
        ("database", &request.database),
        ("version", &request.version),
    ];
    for (field, value) in fields {
        if value.chars().count() > FIELD_CHARS_MAX || value.contains(char::is_control) {
            let rule =
                format!("must be at most {FIELD_CHARS_MAX} characters, none of them a control character");
            return Err(refused(field, &rule));
        }
    }
    if request
        .host
        .contains(|character: char| character.is_whitespace() || "/@?#[]".contains(character))
    {
        return Err(refused(
            "host",
            "must be a host name or an address, without a port",
        ));
    }
    if !request.ca_certificate.is_empty() && !databases::is_authority(&request.ca_certificate) {
        return Err(refused("ca_certificate", "must be certificates in PEM"));
    }
    Ok(DatabaseBinding {
        engine,
        hostname: request.host.clone(),
        port: if request.port == 0 {
            engine_port(engine)
        } else {
            request.port
        },
        username: request.user.clone(),
        password: request.password.clone(),
        // As the original's clusters have it.
        database: match (request.database.as_str(), engine) {
            ("", DatabaseEngine::Pg | DatabaseEngine::Mysql | DatabaseEngine::Mongodb) => {
                "defaultdb".to_owned()
            }
            (named, _) => named.to_owned(),
        },
        ca_certificate: request.ca_certificate.clone(),
        tls: !request.without_tls,
    })
}

/// That the engine's own servers listen at.
fn engine_port(engine: DatabaseEngine) -> u16 {
    match engine {
        DatabaseEngine::Unset | DatabaseEngine::Pg => 5432,
        DatabaseEngine::Mysql => 3306,
        DatabaseEngine::Redis | DatabaseEngine::Valkey => 6379,
        DatabaseEngine::Mongodb => 27017,
        DatabaseEngine::Kafka => 9092,
        DatabaseEngine::Opensearch => 9200,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_testkit::Place;

    use super::*;
    use crate::system::World;

    fn request(name: &str) -> RegisterDatabaseRequest {
        RegisterDatabaseRequest {
            name: name.into(),
            engine: "pg".into(),
            host: "db.example.com".into(),
            user: "shop".into(),
            password: "hunter2".into(),
            unchecked: true,
            ..RegisterDatabaseRequest::default()
        }
    }

    #[test]
    fn what_cannot_be_a_cluster_is_refused_by_field() {
        let field = |change: fn(&mut RegisterDatabaseRequest)| {
            let mut request = request("main");
            change(&mut request);
            match binding(&request) {
                Err(Refusal::BadRequest(message)) => message.split(' ').next().unwrap_or_default().to_owned(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(field(|request| request.name = "a b".into()), "name");
        assert_eq!(field(|request| request.engine = "oracle".into()), "engine");
        assert_eq!(field(|request| request.host = "db:5432/x".into()), "host");
        assert_eq!(field(|request| request.user.clear()), "user");
        assert_eq!(field(|request| request.password = "a\nb".into()), "password");
        assert_eq!(
            field(|request| request.ca_certificate = "none".into()),
            "ca_certificate"
        );
        let good = binding(&request("main")).unwrap();
        assert_eq!(
            (good.port, good.database.as_str(), good.tls),
            (5432, "defaultdb", true)
        );
    }

    #[test]
    fn a_cluster_is_kept_sealed_and_goes_once_no_spec_names_it() {
        let place = Place::claim();
        let world = World::new(place.address(3).port(), 0);
        let lived = world.live(async |server| {
            let application = &server.application;
            let first = application
                .register_cluster(AccountId::FIRST, request("main"))
                .await
                .unwrap();
            assert!(!first.row.password.contains("hunter2"));
            let again = application
                .register_cluster(AccountId::FIRST, request("main"))
                .await;
            assert!(matches!(again, Err(Refusal::Conflict(_))), "{again:?}");
            let moved = RegisterDatabaseRequest {
                host: "elsewhere".into(),
                replace: true,
                ..request("main")
            };
            let moved = application
                .register_cluster(AccountId::FIRST, moved)
                .await
                .unwrap();
            assert_eq!(
                (moved.row.id, moved.row.host.as_str()),
                (first.row.id, "elsewhere")
            );

            let mut spec = world.good("1");
            spec.databases.push(mainstay_spec::Database {
                name: "db".into(),
                production: true,
                cluster_name: Some("mian".into()),
                ..mainstay_spec::Database::default()
            });
            let refused = application.create_app(AccountId::FIRST, &spec).await;
            let Err(Refusal::Spec(errors)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(errors[0].path, "databases[0].cluster_name");
            assert!(errors[0].rule.contains("`main`"), "{}", errors[0].rule);

            spec.databases[0].cluster_name = Some("main".into());
            application.create_app(AccountId::FIRST, &spec).await.unwrap();
            let used = application.cluster(AccountId::FIRST, "main").await.unwrap();
            assert_eq!(used.apps, [spec.name.clone()]);
            let kept = application.remove_cluster(AccountId::FIRST, "main").await;
            assert!(
                matches!(&kept, Err(Refusal::Conflict(message)) if message.contains(&spec.name)),
                "{kept:?}"
            );
            application
                .register_cluster(AccountId::FIRST, request("other"))
                .await
                .unwrap();
            application
                .remove_cluster(AccountId::FIRST, "other")
                .await
                .unwrap();
            assert_eq!(application.clusters(AccountId::FIRST).await.unwrap().len(), 1);
        });
        assert!(lived.is_some(), "nothing kills this server");
    }
}

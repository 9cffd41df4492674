//! Databases of a spec that are not the platform's (`production: true`): each is one of the registered clusters.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{Changes, DatabaseFacts, DatabaseOutcome, Facts, Subject};
use mainstay_spec::{
    AppSpec, Database, DatabaseEngine, Problem, SpecError,
    database_binding::DatabaseBinding,
    ids::{AccountId, AppId},
};
use mainstay_store::ClusterRow;

use super::{engines, references::who_needs, target::Target};
use crate::platform::{Platform, PlatformError};

/// A component of the spec with the cluster that it names, and how the app reaches it.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) name: String,
    pub(super) binding: DatabaseBinding,
    /// What the cluster was registered with, whatever the spec asks for.
    pub(super) registered_database: String,
}

impl Attached {
    /// Whether a variable's value leads there.
    pub(super) fn is_meant(&self, target: &Target) -> bool {
        engines::are_alike(target.engine, self.binding.engine)
            && self.binding.hostname.eq_ignore_ascii_case(&target.host)
            && self.binding.port == target.port
    }
}

/// Those of the app's spec whose cluster is registered.
pub(super) async fn of_spec(
    platform: &Platform,
    app: AppId,
    spec: &AppSpec,
) -> Result<Vec<Attached>, PlatformError> {
    if named(spec).next().is_none() {
        return Ok(Vec::new());
    }
    let clusters = platform.store.clusters_of_app(app).await?;
    let mut found = Vec::new();
    for (database, cluster_name) in named(spec) {
        if let Some(cluster) = clusters.iter().find(|cluster| cluster.name == cluster_name) {
            found.push(Attached {
                name: database.name.clone(),
                binding: binding(platform, database, cluster)?,
                registered_database: cluster.database.clone(),
            });
        }
    }
    Ok(found)
}

/// The attached databases of a spec, with what they call their cluster.
fn named(spec: &AppSpec) -> impl Iterator<Item = (&Database, &str)> {
    let attached = spec.databases.iter().filter(|database| database.production);
    attached.filter_map(|database| Some((database, database.cluster_name.as_deref()?)))
}

fn binding(
    platform: &Platform,
    database: &Database,
    cluster: &ClusterRow,
) -> Result<DatabaseBinding, PlatformError> {
    let named = database.db_name.as_ref().filter(|name| !name.is_empty());
    Ok(DatabaseBinding {
        engine: engine(&cluster.engine),
        hostname: cluster.host.clone(),
        port: cluster.port,
        username: cluster.user.clone(),
        password: opened_password(platform, cluster)?,
        database: named.unwrap_or(&cluster.database).clone(),
        ca_certificate: cluster.ca_certificate.clone(),
        tls: cluster.tls,
    })
}

fn opened_password(platform: &Platform, cluster: &ClusterRow) -> Result<String, PlatformError> {
    let opened = platform.secrets.opened_password(cluster.id, &cluster.password);
    opened.map_err(|source| PlatformError::SealedCluster {
        cluster: cluster.name.clone(),
        source,
    })
}

/// As a spec writes it.
pub(crate) fn engine(word: &str) -> DatabaseEngine {
    let quoted = serde_json::Value::String(word.to_ascii_uppercase());
    serde_json::from_value(quoted).unwrap_or(DatabaseEngine::Unset)
}

/// What a spec asks of the account's clusters that they are not, by path.
pub(super) async fn check(
    platform: &Platform,
    account: AccountId,
    spec: &AppSpec,
) -> Result<Vec<SpecError>, PlatformError> {
    if named(spec).next().is_none() {
        return Ok(Vec::new());
    }
    let clusters = platform.store.clusters(account).await?;
    let databases = spec.databases.iter().enumerate();
    let attached = databases.filter(|(_, database)| database.production);
    Ok(attached
        .flat_map(|(index, database)| problems(database, &format!("databases[{index}]"), &clusters))
        .collect())
}

fn problems(database: &Database, at: &str, clusters: &[ClusterRow]) -> Vec<SpecError> {
    let wanted = database.cluster_name.as_deref().unwrap_or_default();
    let Some(cluster) = clusters.iter().find(|cluster| cluster.name == wanted) else {
        return vec![unknown(wanted, at, clusters)];
    };
    let mut errors = Vec::new();
    let mut refuse = |field: &str, value: &str, rule: String| {
        errors.push(SpecError::new(format!("{at}.{field}"), Problem::Conflict, rule).value(value));
    };
    let asked = database.engine.unwrap_or(DatabaseEngine::Unset);
    if asked != DatabaseEngine::Unset && asked != engine(&cluster.engine) {
        let rule = format!("cluster `{wanted}` is registered as {}", cluster.engine);
        refuse("engine", asked.as_str(), rule);
    }
    if let Some(version) = &database.version
        && !cluster.version.is_empty()
        && *version != cluster.version
    {
        let rule = format!(
            "cluster `{wanted}` is registered with version {}",
            cluster.version
        );
        refuse("version", version, rule);
    }
    if let Some(user) = &database.db_user
        && *user != cluster.user
    {
        let rule = format!(
            "cluster `{wanted}` is registered with user `{}`; the password of another one is not known here",
            cluster.user
        );
        refuse("db_user", user, rule);
    }
    errors
}

fn unknown(wanted: &str, at: &str, clusters: &[ClusterRow]) -> SpecError {
    let names: Vec<String> = clusters.iter().map(|row| format!("`{}`", row.name)).collect();
    let known = if names.is_empty() {
        "none is".to_owned()
    } else {
        format!("registered are {}", names.join(", "))
    };
    let rule = format!("no database cluster of this name is registered; {known}");
    SpecError::new(format!("{at}.cluster_name"), Problem::UnknownValue, rule)
        .value(wanted)
        .suggestion(format!(
            "register it: mainstay databases register {wanted} --engine … --host … --user …"
        ))
}

/// The first cluster of the spec that is not registered (any more), as facts about the component that needs it.
pub(crate) async fn unregistered(
    platform: &Platform,
    app: AppId,
    spec: &AppSpec,
    changes: &Changes,
) -> Result<Option<Facts>, PlatformError> {
    if named(spec).next().is_none() {
        return Ok(None);
    }
    let clusters = platform.store.clusters_of_app(app).await?;
    let is_known = |name: &str| clusters.iter().any(|cluster| cluster.name == name);
    let Some((database, cluster)) = named(spec).find(|(_, cluster)| !is_known(cluster)) else {
        return Ok(None);
    };
    let component = who_needs(spec, &database.name)
        .ok_or_else(|| PlatformError::missing("a component that needs a database"))?;
    Ok(Some(Facts {
        component: component.name().to_owned(),
        kind: component.kind(),
        observed_at: Timestamp::now(),
        subject: Subject::Database(DatabaseFacts {
            name: cluster.to_owned(),
            engine: "cluster".to_owned(),
            address: cluster.to_owned(),
            attempts: 1,
            deadline_passed: true,
            outcome: DatabaseOutcome::NotFound {
                reference: format!("cluster_name: {cluster}"),
                place: format!("databases[{}].cluster_name", database.name),
                existing: clusters.iter().map(|cluster| cluster.name.clone()).collect(),
            },
        }),
        log_tail: Vec::new(),
        changes: changes.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use mainstay_spec::ids::ClusterId;

    use super::*;

    fn cluster(name: &str) -> ClusterRow {
        ClusterRow {
            id: ClusterId::from_uuid(uuid::Uuid::nil()),
            account: AccountId::FIRST,
            name: name.into(),
            engine: "PG".into(),
            version: "15".into(),
            host: "db.example.com".into(),
            port: 25060,
            user: "shop".into(),
            password: String::new(),
            database: "shop".into(),
            ca_certificate: String::new(),
            tls: true,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn database(cluster: &str) -> Database {
        Database {
            name: "db".into(),
            production: true,
            cluster_name: Some(cluster.into()),
            ..Database::default()
        }
    }

    fn told(database: &Database, clusters: &[ClusterRow]) -> Vec<(String, String)> {
        let errors = problems(database, "databases[0]", clusters).into_iter();
        errors.map(|error| (error.path, error.rule)).collect()
    }

    #[test]
    fn an_unknown_cluster_is_refused_with_the_names_of_those_that_are_known() {
        let known = [cluster("main"), cluster("archive")];
        let told = told(&database("mian"), &known);
        assert_eq!(told[0].0, "databases[0].cluster_name");
        assert!(told[0].1.contains("`main`, `archive`"), "{}", told[0].1);
        assert!(problems(&database("mian"), "x", &[])[0].rule.contains("none is"));
    }

    #[test]
    fn a_spec_may_not_say_otherwise_than_what_is_registered() {
        let known = [cluster("main")];
        assert_eq!(told(&database("main"), &known), []);
        let wrong = Database {
            engine: Some(DatabaseEngine::Mysql),
            version: Some("14".into()),
            db_user: Some("root".into()),
            db_name: Some("other".into()),
            ..database("main")
        };
        let paths: Vec<String> = told(&wrong, &known).into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            [
                "databases[0].engine",
                "databases[0].version",
                "databases[0].db_user"
            ]
        );
    }

    #[test]
    fn engines_are_read_as_specs_write_them() {
        assert_eq!(engine("PG"), DatabaseEngine::Pg);
        assert_eq!(engine("valkey"), DatabaseEngine::Valkey);
        assert_eq!(engine("nothing"), DatabaseEngine::Unset);
    }
}

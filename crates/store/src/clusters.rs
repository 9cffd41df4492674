//! Database servers that the platform does not run, registered so that apps can attach to them.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use mainstay_spec::ids::{AccountId, AppId, ClusterId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{Store, StoreError, columns::parsed};

/// A cluster as it was registered: where it is, and one login.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterRow {
    pub id: ClusterId,
    pub account: AccountId,
    /// What specs call it in `cluster_name`.
    pub name: String,
    /// As a spec writes it: "PG".
    pub engine: String,
    /// Empty where nobody said it.
    pub version: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Sealed.
    pub password: String,
    /// The database that apps get unless their spec names another one; empty for engines without.
    pub database: String,
    /// PEM; empty where nobody said who vouches for it.
    pub ca_certificate: String,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    pub created_at: Timestamp,
}

impl fmt::Debug for ClusterRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterRow")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("engine", &self.engine)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// False where the account has one of that name already; nothing is changed then.
    pub async fn insert_cluster(&self, row: &ClusterRow) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO clusters (id, account, name, engine, version, host, port, user, password, database, ca_certificate, tls, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, name) DO NOTHING",
        )
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(&row.name)
        .bind(&row.engine)
        .bind(&row.version)
        .bind(&row.host)
        .bind(row.port)
        .bind(&row.user)
        .bind(&row.password)
        .bind(&row.database)
        .bind(&row.ca_certificate)
        .bind(row.tls)
        .bind(row.created_at.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("store cluster {}", row.name)))?;
        Ok(done.rows_affected() > 0)
    }

    /// Everything of the cluster but its id, name and beginning.
    pub async fn update_cluster(&self, row: &ClusterRow) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clusters SET engine = ?, version = ?, host = ?, port = ?, user = ?, password = ?, database = ?,
             ca_certificate = ?, tls = ? WHERE id = ?",
        )
        .bind(&row.engine)
        .bind(&row.version)
        .bind(&row.host)
        .bind(row.port)
        .bind(&row.user)
        .bind(&row.password)
        .bind(&row.database)
        .bind(&row.ca_certificate)
        .bind(row.tls)
        .bind(row.id.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("update cluster {}", row.name)))?;
        Ok(())
    }

    /// Those of an account, by name.
    pub async fn clusters(&self, account: AccountId) -> Result<Vec<ClusterRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM clusters WHERE account = ? ORDER BY name")
            .bind(account.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list the clusters"))?;
        rows.iter().map(read).collect()
    }

    /// Those that an app may attach to, by name: its account's.
    pub async fn clusters_of_app(&self, app: AppId) -> Result<Vec<ClusterRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM clusters WHERE account = (SELECT account FROM apps WHERE id = ?) ORDER BY name",
        )
        .bind(app.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!("list the clusters for app {app}")))?;
        rows.iter().map(read).collect()
    }

    /// Of an account, cluster → the apps whose specs name it, by name: their own, and those of what serves, goes on or waits. Apps that are being deleted do not
    /// count.
    pub async fn users_of_clusters(
        &self,
        account: AccountId,
    ) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT json_extract(named.value, '$.cluster_name') AS cluster, specs.app AS app
             FROM (
               SELECT name AS app, spec FROM apps
               WHERE instr(spec, 'cluster_name') > 0 AND deleting = 0 AND account = ?1
               UNION ALL SELECT apps.name, deployments.spec
               FROM deployments CROSS JOIN apps ON apps.id = deployments.app
               WHERE instr(deployments.spec, 'cluster_name') > 0 AND apps.deleting = 0 AND apps.account = ?1
                 AND (deployments.settled = 0 OR deployments.id = apps.active_deployment)
             ) AS specs
             CROSS JOIN json_each(specs.spec, '$.databases') AS named
             WHERE json_extract(named.value, '$.production')
               AND json_extract(named.value, '$.cluster_name') IS NOT NULL
             ORDER BY app",
        )
        .bind(account.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the apps of the clusters"))?;
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            users.entry(row.get("cluster")).or_default().push(row.get("app"));
        }
        Ok(users)
    }

    pub async fn delete_cluster(&self, id: ClusterId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM clusters WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("delete cluster {id}")))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<ClusterRow, StoreError> {
    let id: String = row.get("id");
    Ok(ClusterRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        account: parsed(row, "account", &id)?,
        name: row.get("name"),
        engine: row.get("engine"),
        version: row.get("version"),
        host: row.get("host"),
        port: row.get("port"),
        user: row.get("user"),
        password: row.get("password"),
        database: row.get("database"),
        ca_certificate: row.get("ca_certificate"),
        tls: row.get("tls"),
        created_at: parsed(row, "created_at", &id)?,
    })
}

#[cfg(test)]
mod tests {
    use mainstay_spec::ids::DeploymentId;
    use uuid::Uuid;

    use super::*;
    use crate::{AppChange, NewDeployment};

    fn row(name: &str) -> ClusterRow {
        ClusterRow {
            id: ClusterId::from_uuid(Uuid::new_v4()),
            account: AccountId::FIRST,
            name: name.into(),
            engine: "PG".into(),
            version: "15".into(),
            host: "db.example.com".into(),
            port: 25060,
            user: "shop".into(),
            password: "EV[sealed]".into(),
            database: "shop".into(),
            ca_certificate: String::new(),
            tls: true,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_cluster_comes_back_as_it_was_stored_and_its_name_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let (main, other) = (row("main"), row("archive"));
        assert!(store.insert_cluster(&main).await.unwrap());
        assert!(store.insert_cluster(&other).await.unwrap());
        assert!(!store.insert_cluster(&row("main")).await.unwrap());
        assert_eq!(
            store.clusters(AccountId::FIRST).await.unwrap(),
            [other.clone(), main.clone()]
        );
        let moved = ClusterRow {
            host: "elsewhere".into(),
            tls: false,
            ..main
        };
        store.update_cluster(&moved).await.unwrap();
        store.delete_cluster(other.id).await.unwrap();
        assert_eq!(
            store.clusters(AccountId::FIRST).await.unwrap(),
            std::slice::from_ref(&moved)
        );
        assert!(!format!("{moved:?}").contains("sealed"));
    }

    fn deployment(app: AppId, number: u128, spec: serde_json::Value) -> NewDeployment {
        NewDeployment {
            id: DeploymentId::from_uuid(Uuid::from_u128(number)),
            app,
            spec: serde_json::from_value(spec).unwrap(),
            cause: String::new(),
            cause_kind: String::new(),
            previous: None,
            force_build: false,
            pinned_sources: BTreeMap::new(),
            cloned_from: None,
            restarts: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn the_apps_of_a_cluster_are_those_whose_specs_attach_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let databases = [
            serde_json::json!([{ "name": "db", "production": true, "cluster_name": "main" }]),
            serde_json::json!([{ "name": "db", "cluster_name": "main" }]),
            serde_json::json!([]),
        ];
        for (number, databases) in (1_u128..).zip(databases) {
            let app = AppId::from_uuid(Uuid::from_u128(number));
            let spec = serde_json::json!({ "name": format!("app-{number}"), "databases": databases });
            let first = deployment(app, number, spec);
            store.create_app(AccountId::FIRST, &first).await.unwrap();
        }
        let users = || async { store.users_of_clusters(AccountId::FIRST).await.unwrap() };
        let main = BTreeMap::from([("main".to_owned(), vec!["app-1".to_owned()])]);
        assert_eq!(users().await, main);
        // What was deployed before and has not ended still names it.
        let first = AppId::from_uuid(Uuid::from_u128(1));
        let without = deployment(first, 11, serde_json::json!({ "name": "app-1" }));
        store.accept(&without, AppChange::Spec).await.unwrap();
        assert_eq!(users().await, main);
        store.mark_app_deleting(first).await.unwrap();
        assert_eq!(users().await, BTreeMap::new());
    }
}

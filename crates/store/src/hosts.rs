//! Whose a host name is: the app's that had it first, as long as a spec of it that counts has it. Names are one space for all accounts.

use mainstay_spec::{
    AppSpec, Domain,
    ids::{AccountId, AppId},
};
use sqlx::{Row, SqliteConnection};

use crate::{Store, StoreError, columns::from_json};

/// Below which domain the platform's own names were, when the hosts were written down.
const DOMAIN_SETTING: &str = "hosts_below";
/// Of the characters of an app's id, in its default host.
const SUFFIX_CHARS: usize = 5;
/// Suffixes to choose from.
const SUFFIXES: usize = 6;

impl Store {
    /// The same store, whose apps have their default hosts below `domain`. Where they were elsewhere before, all hosts are written down anew: the
    /// older app keeps one that two have.
    pub async fn with_domain(mut self, domain: &str) -> Result<Self, StoreError> {
        self.domain = domain.into();
        if self.setting(DOMAIN_SETTING).await?.as_deref() == Some(domain) {
            return Ok(self);
        }
        let failed = || StoreError::during("write down the hosts of all apps");
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        sqlx::query("DELETE FROM hosts")
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        let apps: Vec<String> = sqlx::query_scalar("SELECT id FROM apps ORDER BY created_at, id")
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed())?;
        for id in apps {
            let app = id.parse().map_err(StoreError::damaged("id", &id))?;
            for host in needed(&mut transaction, app, domain).await? {
                take_if_free(&mut transaction, app, &host).await?;
            }
        }
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
            .bind(DOMAIN_SETTING)
            .bind(domain)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())?;
        Ok(self)
    }

    /// The domain of the last [`Store::with_domain`].
    pub(crate) async fn knowing_its_domain(mut self) -> Result<Self, StoreError> {
        self.domain = self.setting(DOMAIN_SETTING).await?.unwrap_or_default().into();
        Ok(self)
    }
}

/// What stands between a new app's name and the domain. Apps of the first account have nothing there unless the host is somebody's; all others
/// some characters of their ids, so that a name tells nothing of other accounts.
pub(crate) async fn suffix(
    connection: &mut SqliteConnection,
    account: AccountId,
    app: AppId,
    name: &str,
    domain: &str,
) -> Result<String, StoreError> {
    let id = app.as_uuid().simple().to_string();
    let plain = (account == AccountId::FIRST).then(String::new);
    let of_id = |index: usize| {
        let characters = id.chars().skip(index * SUFFIX_CHARS).take(SUFFIX_CHARS);
        format!("-{}", characters.collect::<String>())
    };
    for suffix in plain.into_iter().chain((0..SUFFIXES).map(of_id)) {
        if is_free(connection, app, &default_host(name, &suffix, domain), domain).await? {
            return Ok(suffix);
        }
    }
    Err(StoreError::HostTaken {
        host: default_host(name, "", domain),
    })
}

/// Notes that the app has the hosts of the spec from now on. Called within the transaction that stores the spec.
///
/// # Errors
/// [`StoreError::HostTaken`].
pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    app: AppId,
    spec: &AppSpec,
    domain: &str,
) -> Result<(), StoreError> {
    let suffix: Option<String> = sqlx::query_scalar("SELECT host_suffix FROM apps WHERE id = ?")
        .bind(app.to_string())
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::during(format!("read app {app}")))?;
    for host in hosts_of(spec, &suffix.unwrap_or_default(), domain) {
        if !is_free(connection, app, &host, domain).await? {
            return Err(StoreError::HostTaken { host });
        }
        take_if_free(connection, app, &host).await?;
    }
    Ok(())
}

fn default_host(name: &str, suffix: &str, domain: &str) -> String {
    format!("{name}{suffix}.{domain}").to_ascii_lowercase()
}

fn hosts_of(spec: &AppSpec, suffix: &str, domain: &str) -> Vec<String> {
    let own = default_host(&spec.name, suffix, domain);
    let hosts = std::iter::once(own).chain(spec.domains.iter().map(Domain::host));
    hosts.collect()
}

/// Whether the app may have the host. What its owner needs no longer is nobody's.
async fn is_free(
    connection: &mut SqliteConnection,
    app: AppId,
    host: &str,
    domain: &str,
) -> Result<bool, StoreError> {
    let owner: Option<String> = sqlx::query_scalar("SELECT app FROM hosts WHERE host = ?")
        .bind(host)
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::during("look up a host"))?;
    let Some(owner) = owner else { return Ok(true) };
    let owner: AppId = owner
        .parse()
        .map_err(StoreError::damaged("owner of host", host))?;
    if owner == app {
        return Ok(true);
    }
    if needed(connection, owner, domain)
        .await?
        .iter()
        .any(|needed| needed == host)
    {
        return Ok(false);
    }
    sqlx::query("DELETE FROM hosts WHERE host = ?")
        .bind(host)
        .execute(connection)
        .await
        .map_err(StoreError::during("give a host back"))?;
    Ok(true)
}

async fn take_if_free(connection: &mut SqliteConnection, app: AppId, host: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO hosts (host, app) VALUES (?, ?) ON CONFLICT (host) DO NOTHING")
        .bind(host)
        .bind(app.to_string())
        .execute(connection)
        .await
        .map_err(StoreError::during("note whose a host is"))?;
    Ok(())
}

/// The hosts of the app's spec, and of what serves, goes on, waits, or is stayed at. An app that is being deleted needs none.
async fn needed(
    connection: &mut SqliteConnection,
    app: AppId,
    domain: &str,
) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT host_suffix, spec FROM apps WHERE id = ?1 AND deleting = 0
         UNION ALL SELECT apps.host_suffix, deployments.spec
         FROM apps CROSS JOIN deployments ON deployments.app = apps.id
         WHERE apps.id = ?1 AND deleting = 0
           AND (settled = 0 OR deployments.id = active_deployment OR deployments.id = pinned_deployment)",
    )
    .bind(app.to_string())
    .fetch_all(connection)
    .await
    .map_err(StoreError::during(format!("read the hosts of app {app}")))?;
    let mut hosts = Vec::new();
    for row in rows {
        let spec: AppSpec = from_json(&row, "spec", app)?;
        hosts.extend(hosts_of(&spec, row.get("host_suffix"), domain));
    }
    Ok(hosts)
}

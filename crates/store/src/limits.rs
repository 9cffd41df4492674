//! The accounts' limits: checked here alone, in the transaction that would pass them.

use std::collections::{BTreeMap, HashMap};

use mainstay_diagnosis::facts::{QuotaFacts, QuotaScope, QuotaUnit};
use mainstay_spec::{
    AppSpec,
    ids::{AccountId, AppId},
    usage::Resource,
};
use sqlx::{Row, SqliteConnection};

use crate::{Store, StoreError, accounts, columns::from_json};

/// How many of the biggest users are named.
const BIGGEST: i64 = 3;

/// What all apps of an account may take together; what is not named is not limited.
pub type Limits = BTreeMap<Resource, u64>;

/// A resource with what is taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    pub resource: Resource,
    pub unit: QuotaUnit,
    /// By all apps of the account together; 0 of what no spec asks for, which is not counted here.
    pub used: u64,
    pub limit: Option<u64>,
    /// Whether the limit is the account's own, not everybody's.
    pub is_own: bool,
}

impl Store {
    /// The same store, which from now on refuses apps and specs that would pass a limit: these, unless an account has others of its own. One that
    /// is passed already lets specs go on that ask for no more than before.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits.into();
        self
    }

    pub async fn limits(&self, account: AccountId) -> Result<Vec<Use>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(StoreError::during("read what is used"))?;
        let own = accounts::limits_of(&mut connection, account).await?;
        let mut uses = Vec::with_capacity(Resource::ALL.len());
        for resource in Resource::ALL {
            uses.push(Use {
                resource,
                unit: unit(resource),
                used: total(&mut connection, account, resource).await?,
                limit: own.get(&resource).or(self.limits.get(&resource)).copied(),
                is_own: own.contains_key(&resource),
            });
        }
        Ok(uses)
    }

    /// What each account may take of this resource; who is not there is not limited.
    pub async fn limits_on(&self, resource: Resource) -> Result<HashMap<AccountId, u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, amount FROM accounts LEFT JOIN account_limits ON account = id AND resource = ?",
        )
        .bind(resource.noun())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "read the limits on {}",
            resource.noun()
        )))?;
        let everybodys = self.limits.get(&resource).copied();
        let mut limits = HashMap::new();
        for row in rows {
            let id: &str = row.get("id");
            let own: Option<i64> = row.get("amount");
            if let Some(limit) = own
                .map(|amount| u64::try_from(amount).unwrap_or(0))
                .or(everybodys)
            {
                limits.insert(id.parse().map_err(StoreError::damaged("id", id))?, limit);
            }
        }
        Ok(limits)
    }

    /// What the account may take of this resource; `None`: there is no limit.
    pub async fn limit_of(&self, account: AccountId, resource: Resource) -> Result<Option<u64>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(StoreError::during("read a limit"))?;
        let own = accounts::limits_of(&mut connection, account).await?;
        Ok(own.get(&resource).or(self.limits.get(&resource)).copied())
    }

    /// Whose the app is.
    pub async fn owner_of(&self, app: AppId) -> Result<AccountId, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(StoreError::during("look whose an app is"))?;
        account_of(&mut connection, app).await
    }
}

fn unit(resource: Resource) -> QuotaUnit {
    match resource {
        Resource::Memory | Resource::LogBytes => QuotaUnit::Bytes,
        Resource::Cpu => QuotaUnit::CpuMillis,
        _ => QuotaUnit::Count,
    }
}

/// Notes what the app takes from now on. Called within the transaction that stores its spec, which holds the database's only write lock:
/// nobody else can take anything meanwhile. `limits` are those of accounts without others of their own; `None`: no limit counts.
///
/// # Errors
/// [`StoreError::LimitPassed`].
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    app: AppId,
    spec: &AppSpec,
    limits: Option<&Limits>,
) -> Result<(), StoreError> {
    let account = account_of(connection, app).await?;
    let limits = match limits {
        Some(limits) => {
            let mut limits = limits.clone();
            limits.extend(accounts::limits_of(connection, account).await?);
            limits
        }
        None => Limits::new(),
    };
    for resource in Resource::ALL {
        let before = of_app(connection, app, resource).await?;
        let asked = resource.asked_by(spec);
        put(connection, app, resource, asked).await?;
        let Some(limit) = limits.get(&resource).copied().filter(|_| asked > before) else {
            continue;
        };
        let used = total(connection, account, resource).await?;
        if used > limit {
            return Err(StoreError::LimitPassed(Box::new(QuotaFacts {
                resource: resource.noun().to_owned(),
                scope: QuotaScope::Account,
                unit: unit(resource),
                limit,
                used: used - asked,
                asked,
                biggest: biggest(connection, account, app, resource).await?,
                waiting: false,
            })));
        }
    }
    Ok(())
}

/// For apps that an earlier version stored.
pub(crate) async fn take_of_all(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let unknown = sqlx::query("SELECT id, spec FROM apps WHERE id NOT IN (SELECT app FROM app_usage)")
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::during("list apps whose use is not known"))?;
    for row in unknown {
        let id: &str = row.get("id");
        let app = id.parse().map_err(StoreError::damaged("id", id))?;
        let spec = from_json(&row, "spec", id)?;
        take(connection, app, &spec, None).await?;
    }
    Ok(())
}

async fn account_of(connection: &mut SqliteConnection, app: AppId) -> Result<AccountId, StoreError> {
    let account: Option<String> = sqlx::query_scalar("SELECT account FROM apps WHERE id = ?")
        .bind(app.to_string())
        .fetch_optional(connection)
        .await
        .map_err(StoreError::during(format!("look whose app {app} is")))?;
    let account = account.ok_or(StoreError::NoApp { app })?;
    account.parse().map_err(StoreError::damaged("account", app))
}

async fn put(
    connection: &mut SqliteConnection,
    app: AppId,
    resource: Resource,
    amount: u64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO app_usage (app, resource, amount) VALUES (?, ?, ?)")
        .bind(app.to_string())
        .bind(resource.noun())
        .bind(i64::try_from(amount).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map_err(StoreError::during(format!("store what app {app} uses")))?;
    Ok(())
}

async fn of_app(
    connection: &mut SqliteConnection,
    app: AppId,
    resource: Resource,
) -> Result<u64, StoreError> {
    let amount: Option<i64> =
        sqlx::query_scalar("SELECT amount FROM app_usage WHERE app = ? AND resource = ?")
            .bind(app.to_string())
            .bind(resource.noun())
            .fetch_optional(connection)
            .await
            .map_err(StoreError::during(format!("read what app {app} uses")))?;
    Ok(amount.and_then(|amount| u64::try_from(amount).ok()).unwrap_or(0))
}

/// Apps that are being deleted count no more.
async fn total(
    connection: &mut SqliteConnection,
    account: AccountId,
    resource: Resource,
) -> Result<u64, StoreError> {
    let amount: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(amount), 0) FROM apps CROSS JOIN app_usage ON app = apps.id
         WHERE account = ? AND deleting = 0 AND resource = ?",
    )
    .bind(account.to_string())
    .bind(resource.noun())
    .fetch_one(connection)
    .await
    .map_err(StoreError::during(format!(
        "count the {} in use",
        resource.noun()
    )))?;
    Ok(u64::try_from(amount).unwrap_or(0))
}

async fn biggest(
    connection: &mut SqliteConnection,
    account: AccountId,
    but: AppId,
    resource: Resource,
) -> Result<Vec<(String, u64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, amount FROM apps CROSS JOIN app_usage ON app = apps.id
         WHERE account = ? AND deleting = 0 AND resource = ? AND app <> ? AND amount > 0
         ORDER BY amount DESC, name LIMIT ?",
    )
    .bind(account.to_string())
    .bind(resource.noun())
    .bind(but.to_string())
    .bind(BIGGEST)
    .fetch_all(connection)
    .await
    .map_err(StoreError::during(format!(
        "list who uses most {}",
        resource.noun()
    )))?;
    let user = |row: &sqlx::sqlite::SqliteRow| {
        let amount = u64::try_from(row.get::<i64, _>("amount")).unwrap_or(0);
        (row.get("name"), amount)
    };
    Ok(rows.iter().map(user).collect())
}

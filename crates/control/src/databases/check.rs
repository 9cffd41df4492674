//! What a spec may ask of databases beyond its own rules: that depends on this machine, on what there is, and on what is registered.

use mainstay_images::stack;
use mainstay_spec::{
    AppSpec, Database, DatabaseEngine, Problem, SpecError,
    ids::{AccountId, AppId},
};
use mainstay_store::DatabaseRow;

use super::{attached, engines, of_platform};
use crate::platform::{Platform, PlatformError};

/// Everything that cannot be had, by path.
pub(crate) async fn check(
    platform: &Platform,
    account: AccountId,
    spec: &AppSpec,
    app: Option<AppId>,
) -> Result<Vec<SpecError>, PlatformError> {
    let mut errors = attached::check(platform, account, spec).await?;
    if of_platform(spec).next().is_none() {
        return Ok(errors);
    }
    let suite = stack::suite(&platform.config.operator_settings());
    let existing = match app {
        Some(app) => platform.store.databases_of_app(app).await?,
        None => Vec::new(),
    };
    let databases = spec.databases.iter().enumerate();
    for (index, database) in databases.filter(|(_, database)| !database.production) {
        let known = existing.iter().find(|row| row.name == database.name);
        let found = match known {
            Some(row) => of_known(database, row),
            None => of_new(database, &suite),
        };
        errors.extend(found.into_iter().map(|refused| {
            let at = format!("databases[{index}].{}", refused.field);
            SpecError::new(at, Problem::Unsupported, refused.rule).value(refused.value)
        }));
    }
    Ok(errors)
}

/// A field of a database that cannot be as it is.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    field: &'static str,
    value: String,
    rule: String,
}

fn refused(field: &'static str, value: &str, rule: impl Into<String>) -> Refused {
    Refused {
        field,
        value: value.to_owned(),
        rule: rule.into(),
    }
}

/// One that does not exist yet.
fn of_new(database: &Database, suite: &str) -> Vec<Refused> {
    let kind = database.engine.unwrap_or(DatabaseEngine::Unset);
    let Some(engine) = engines::of(kind) else {
        // Said by the spec's own rules.
        return Vec::new();
    };
    let title = engine.title();
    match (&database.version, engine.version(suite)) {
        (Some(asked), Some(here)) if !engine.is_served_by(asked, here) => {
            let rule = format!("this machine's Debian has {title} {here} only");
            vec![refused("version", asked, rule)]
        }
        (_, None) if kind == DatabaseEngine::Valkey => {
            let rule = format!(
                "this machine's Debian ({suite}) has no Valkey; {}, or attach a server of your own with `production: true` and `cluster_name`",
                match engines::of(DatabaseEngine::Redis).and_then(|redis| redis.version(suite)) {
                    Some(version) =>
                        format!("it has Redis {version}, which its clients speak to: write `engine: REDIS`"),
                    None => "nor is it known what Redis it has".to_owned(),
                }
            );
            vec![refused("engine", kind.as_str(), rule)]
        }
        (None, None) => {
            let rule = format!("is needed: it is not known which {title} this machine's Debian has");
            vec![refused("version", "", rule)]
        }
        _ => Vec::new(),
    }
}

/// One with data: what it is stays.
fn of_known(database: &Database, row: &DatabaseRow) -> Vec<Refused> {
    let asked = database.engine.unwrap_or(DatabaseEngine::Unset);
    let is = engines::kind(row);
    let same = asked == is || (asked == DatabaseEngine::Unset && is == DatabaseEngine::Pg);
    if !same {
        let rule = format!(
            "is `{}` since the database was made; its data cannot become another engine's: give the new one another name",
            is.as_str()
        );
        return vec![refused("engine", asked.as_str(), rule)];
    }
    let mut found = Vec::new();
    if let Some(engine) = engines::of(is)
        && let Some(version) = &database.version
        && !engine.is_served_by(version, &row.version)
    {
        let rule = format!(
            "the database holds data of {} {}, which another version cannot read",
            engine.title(),
            row.version
        );
        found.push(refused("version", version, rule));
    }
    let names = [
        ("db_name", &database.db_name, &row.database_name),
        ("db_user", &database.db_user, &row.user),
    ];
    for (field, asked, is) in names {
        if let Some(asked) = asked.as_ref().filter(|asked| *asked != is) {
            let rule = format!("is `{is}` since the database was made and cannot be changed");
            found.push(refused(field, asked, rule));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mainstay_spec::ids::DatabaseId;

    use super::*;

    fn database(engine: DatabaseEngine, version: Option<&str>) -> Database {
        Database {
            name: "db".into(),
            engine: Some(engine),
            version: version.map(Into::into),
            ..Database::default()
        }
    }

    fn row(engine: &str, version: &str) -> DatabaseRow {
        DatabaseRow {
            id: DatabaseId::from_uuid(uuid::Uuid::nil()),
            app: AppId::from_uuid(uuid::Uuid::nil()),
            name: "db".into(),
            engine: engine.into(),
            version: version.into(),
            database_name: "db".into(),
            user: "db".into(),
            password: String::new(),
            admin_password: String::new(),
            image: None,
            volume_file: "volume.img".into(),
            replaced_volume: None,
            volume_bytes: 1 << 30,
            volume_made: true,
            system_identifier: None,
            instance: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn fields(found: &[Refused]) -> Vec<&'static str> {
        found.iter().map(|refused| refused.field).collect()
    }

    #[test]
    fn a_version_that_debian_does_not_have_is_refused_with_the_one_that_it_has() {
        let told = |engine, version| of_new(&database(engine, version), "bookworm");
        assert_eq!(told(DatabaseEngine::Pg, Some("15")), []);
        assert!(
            told(DatabaseEngine::Pg, Some("16"))[0]
                .rule
                .contains("PostgreSQL 15 only")
        );
        assert_eq!(told(DatabaseEngine::Redis, None), []);
        assert!(
            told(DatabaseEngine::Redis, Some("8"))[0]
                .rule
                .contains("Redis 7 only")
        );
        assert_eq!(
            fields(&of_new(&database(DatabaseEngine::Redis, None), "sid")),
            ["version"]
        );
    }

    #[test]
    fn where_there_is_no_valkey_it_is_said_what_there_is() {
        let told = of_new(&database(DatabaseEngine::Valkey, None), "bookworm");
        assert_eq!(fields(&told), ["engine"]);
        assert!(told[0].rule.contains("it has Redis 7"), "{}", told[0].rule);
        assert_eq!(of_new(&database(DatabaseEngine::Valkey, None), "trixie"), []);
    }

    #[test]
    fn data_of_one_engine_do_not_become_those_of_another() {
        let pg = row("PG", "15");
        assert_eq!(of_known(&database(DatabaseEngine::Unset, None), &pg), []);
        assert_eq!(
            fields(&of_known(&database(DatabaseEngine::Redis, None), &pg)),
            ["engine"]
        );
        let redis = row("REDIS", "7");
        assert_eq!(
            fields(&of_known(&database(DatabaseEngine::Unset, None), &redis)),
            ["engine"]
        );
        let renamed = Database {
            db_user: Some("other".into()),
            ..database(DatabaseEngine::Redis, Some("6"))
        };
        assert_eq!(fields(&of_known(&renamed, &redis)), ["version", "db_user"]);
    }
}

//! What a spec may ask of databases beyond its own rules: that depends on this machine, on what there is, and on what is registered.

use mainstay_spec::{
    AppSpec, Problem, SpecError,
    ids::{AccountId, AppId},
};

use super::{attached, image, of_platform};
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
    let here = image::version(&platform.config.operator_settings());
    let existing = match app {
        Some(app) => platform.store.databases_of_app(app).await?,
        None => Vec::new(),
    };
    for (index, database) in spec.databases.iter().enumerate() {
        if database.production {
            continue;
        }
        let known = existing.iter().find(|row| row.name == database.name);
        let possible = known.map(|row| row.version.as_str()).or(here);
        let at = |field: &str| format!("databases[{index}].{field}");
        let mut refuse = |field: &str, value: &str, rule: String| {
            errors.push(SpecError::new(at(field), Problem::Unsupported, rule).value(value));
        };
        match (&database.version, possible) {
            (Some(asked), Some(possible)) if asked != possible && known.is_some() => refuse(
                "version",
                asked,
                format!(
                    "the database holds data of PostgreSQL {possible}, which another version cannot read"
                ),
            ),
            (Some(asked), Some(possible)) if asked != possible => refuse(
                "version",
                asked,
                format!("this machine's Debian has PostgreSQL {possible} only"),
            ),
            (None, None) => refuse(
                "version",
                "",
                "is needed: it is not known which PostgreSQL this machine's Debian has".to_owned(),
            ),
            _ => {}
        }
        let Some(row) = known else { continue };
        let names = [
            ("db_name", &database.db_name, &row.database_name),
            ("db_user", &database.db_user, &row.user),
        ];
        for (field, asked, is) in names {
            if let Some(asked) = asked.as_ref().filter(|asked| *asked != is) {
                refuse(
                    field,
                    asked,
                    format!("is `{is}` since the database was made and cannot be changed"),
                );
            }
        }
    }
    Ok(errors)
}

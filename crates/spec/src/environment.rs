//! A component's environment: variables of app and component by scope, `${…}` references filled in.

use std::collections::BTreeMap;

use crate::{
    database_binding::DatabaseBinding,
    ingress,
    model::{AppSpec, ComponentRef, Scope, Variable},
};

/// When the environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Build,
    Run,
}

/// What references can stand for beyond what the spec itself says. What is missing stays literal text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindables {
    pub app_id: Option<String>,
    /// `http://shop.localhost:8080`, without a final slash.
    pub app_url: Option<String>,
    /// The host of `app_url`, without port.
    pub app_domain: Option<String>,
    /// Component name → commit that it was built from.
    pub commit_hashes: BTreeMap<String, String>,
    /// Component name → how the app reaches that database. Empty for builds.
    pub databases: BTreeMap<String, DatabaseBinding>,
}

/// One variable as a process sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    pub key: String,
    pub value: String,
    pub secret: bool,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binding")
            .field("key", &self.key)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

/// What a text became when its references were filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// Part of it must not be seen.
    pub(crate) secret: bool,
}

impl Value {
    pub(crate) fn open(text: String) -> Self {
        Self { text, secret: false }
    }

    pub(crate) fn secret(text: String) -> Self {
        Self { text, secret: true }
    }
}

/// The variables of a component, in the order of the spec, the app's first; a component's own wins over the app's of the same name. Services also
/// get `PORT` at run time, and every component `DATABASE_URL` of the app's first development database, unless the spec sets it.
pub fn environment(
    spec: &AppSpec,
    component: ComponentRef<'_>,
    when: When,
    bindables: &Bindables,
) -> Vec<Binding> {
    let in_scope = |variable: &&Variable| match when {
        When::Build => variable.scope().at_build(),
        When::Run => variable.scope().at_run(),
    };
    let scope = References {
        spec,
        component,
        bindables,
    };
    let mut bindings: Vec<Binding> = Vec::new();
    for variable in spec.envs.iter().chain(component.variables()).filter(in_scope) {
        let value = scope.filled_in(variable.value.reveal());
        let binding = Binding {
            key: variable.key.clone(),
            value: value.text,
            secret: variable.is_secret() || value.secret,
        };
        match bindings.iter_mut().find(|other| other.key == binding.key) {
            Some(other) => *other = binding,
            None => bindings.push(binding),
        }
    }
    if let (ComponentRef::Service(service), When::Run) = (component, when)
        && !bindings.iter().any(|binding| binding.key == "PORT")
    {
        bindings.push(Binding {
            key: "PORT".into(),
            value: service.main_port().to_string(),
            secret: false,
        });
    }
    if when == When::Run
        && !bindings.iter().any(|binding| binding.key == "DATABASE_URL")
        && let Some(database) = spec.databases.iter().find(|database| !database.production)
        && let Some(url) = bindables
            .databases
            .get(&database.name)
            .and_then(DatabaseBinding::url)
    {
        bindings.push(Binding {
            key: "DATABASE_URL".into(),
            value: url,
            secret: true,
        });
    }
    bindings
}

/// A variable that a build does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTimeOnly {
    pub key: String,
    /// As the spec says it.
    pub scope: Scope,
    /// The database of the spec that its value comes from.
    pub database: Option<String>,
}

/// Variables of the component that its build lacks: of run scope alone, or with values of a database, which does not exist for builds.
pub fn run_time_only(spec: &AppSpec, component: ComponentRef<'_>) -> Vec<RunTimeOnly> {
    let mut found: Vec<RunTimeOnly> = Vec::new();
    for variable in spec.envs.iter().chain(component.variables()) {
        found.retain(|other| other.key != variable.key);
        let database = database_of(spec, variable);
        if !variable.scope().at_build() || database.is_some() {
            found.push(RunTimeOnly {
                key: variable.key.clone(),
                scope: variable.scope(),
                database,
            });
        }
    }
    found
}

fn database_of(spec: &AppSpec, variable: &Variable) -> Option<String> {
    let named = references(variable.value.reveal()).filter_map(|reference| reference.split_once('.'));
    named
        .map(|(name, _)| name.to_owned())
        .find(|name| matches!(spec.component(name), Some(ComponentRef::Database(_))))
}

/// The content of each `${…}` in a text.
pub fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(inside, _)| inside)
}

struct References<'a> {
    spec: &'a AppSpec,
    component: ComponentRef<'a>,
    bindables: &'a Bindables,
}

impl References<'_> {
    fn filled_in(&self, text: &str) -> Value {
        let mut parts = text.split("${");
        let mut out = Value::open(parts.next().unwrap_or_default().to_owned());
        for part in parts {
            match part
                .split_once('}')
                .and_then(|(inside, rest)| Some((self.value(inside)?, rest)))
            {
                Some((value, rest)) => {
                    out.text = out.text + &value.text + rest;
                    out.secret |= value.secret;
                }
                None => out.text = out.text + "${" + part,
            }
        }
        out
    }

    fn value(&self, reference: &str) -> Option<Value> {
        match reference.split_once('.') {
            None => self.of_app(reference).map(Value::open),
            Some(("_self", variable)) => self.of_component(self.component, variable).map(Value::open),
            Some((name, variable)) => match self.spec.component(name)? {
                ComponentRef::Database(_) => self.bindables.databases.get(name)?.value(variable),
                component => self.of_component(component, variable).map(Value::open),
            },
        }
    }

    fn of_app(&self, variable: &str) -> Option<String> {
        match variable {
            "APP_ID" => self.bindables.app_id.clone(),
            "APP_URL" => self.bindables.app_url.clone(),
            "APP_DOMAIN" => self.bindables.app_domain.clone(),
            _ => None,
        }
    }

    fn of_component(&self, component: ComponentRef<'_>, variable: &str) -> Option<String> {
        match (variable, component) {
            ("COMMIT_HASH", _) => self.bindables.commit_hashes.get(component.name()).cloned(),
            ("PUBLIC_ROUTE_PATH", _) => ingress::public_route_path(self.spec, component.name()),
            ("PUBLIC_URL", _) => {
                let path = ingress::public_route_path(self.spec, component.name())?;
                Some(format!(
                    "{}{}",
                    self.bindables.app_url.as_ref()?,
                    path.trim_end_matches('/')
                ))
            }
            ("PRIVATE_DOMAIN", ComponentRef::Service(service)) => Some(service.name.clone()),
            ("PRIVATE_PORT", ComponentRef::Service(service)) => Some(service.main_port().to_string()),
            ("PRIVATE_URL", ComponentRef::Service(service)) => {
                Some(format!("http://{}:{}", service.name, service.main_port()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, model::DatabaseEngine, parse};

    const YAML: &str = r"
name: shop
envs:
- {key: LEVEL, value: info}
- {key: TOKEN, value: t, type: SECRET, scope: RUN_TIME}
- {key: BUILDER, value: b, scope: BUILD_TIME}
services:
- name: web
  git: {repo_clone_url: https://example.com/a.git}
  http_port: 3000
  routes: [{path: /shop}]
  envs:
  - {key: LEVEL, value: debug}
  - {key: API, value: '${api.PRIVATE_URL}/v1 ${_self.PUBLIC_URL} ${nobody.X} ${HOME} ${'}
  - {key: APP, value: '${APP_URL}|${APP_ID}|${api.COMMIT_HASH}'}
- name: api
  git: {repo_clone_url: https://example.com/a.git}
  internal_ports: [9000]
";

    fn environment_of(name: &str, when: When) -> Vec<String> {
        let spec = parse(YAML, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec;
        let bindables = Bindables {
            app_url: Some("http://shop.localhost:8080".into()),
            commit_hashes: [("api".to_owned(), "abc".to_owned())].into(),
            ..Default::default()
        };
        let bindings = environment(&spec, spec.component(name).unwrap(), when, &bindables);
        bindings
            .into_iter()
            .map(|binding| format!("{}={}", binding.key, binding.value))
            .collect()
    }

    #[test]
    fn scopes_overrides_and_references() {
        assert_eq!(
            environment_of("web", When::Run),
            [
                "LEVEL=debug",
                "TOKEN=t",
                "API=http://api:9000/v1 http://shop.localhost:8080/shop ${nobody.X} ${HOME} ${",
                "APP=http://shop.localhost:8080|${APP_ID}|abc",
                "PORT=3000",
            ]
        );
        assert_eq!(
            environment_of("api", When::Run),
            ["LEVEL=info", "TOKEN=t", "PORT=9000"]
        );
    }

    #[test]
    fn builds_get_neither_run_time_variables_nor_the_port() {
        assert_eq!(environment_of("api", When::Build), ["LEVEL=info", "BUILDER=b"]);
    }

    #[test]
    fn a_build_lacks_run_time_variables_and_those_of_databases() {
        const YAML: &str = r"
name: shop
envs:
- {key: TOKEN, value: t, scope: RUN_TIME}
- {key: LEVEL, value: a, scope: RUN_TIME}
databases: [{name: db, engine: PG}]
services:
- name: web
  git: {repo_clone_url: https://example.com/a.git}
  envs:
  - {key: LEVEL, value: b}
  - {key: URL, value: '${db.DATABASE_URL}'}
";
        let spec = parse(YAML, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec;
        let absent = run_time_only(&spec, spec.component("web").unwrap());
        let absent: Vec<_> = absent
            .iter()
            .map(|variable| {
                (
                    variable.key.as_str(),
                    variable.scope.as_str(),
                    variable.database.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            absent,
            [
                ("TOKEN", "RUN_TIME", None),
                ("URL", "RUN_AND_BUILD_TIME", Some("db"))
            ]
        );
    }

    #[test]
    fn databases_are_filled_in_at_run_time_and_what_tells_their_password_is_secret() {
        const YAML: &str = r"
name: shop
databases: [{name: db, engine: PG}]
services:
- name: web
  git: {repo_clone_url: https://example.com/a.git}
  envs:
  - {key: HOST, value: '${db.HOSTNAME}:${db.PORT}'}
  - {key: OWN_URL, value: '${db.DATABASE_URL}&application_name=web'}
  - {key: ODD, value: '${db.REDIS_URL} ${db.pool.PORT}'}
";
        let spec = parse(YAML, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec;
        let bound = DatabaseBinding {
            engine: DatabaseEngine::Pg,
            tls: true,
            hostname: "db".into(),
            port: 5432,
            username: "db".into(),
            password: "hunter2".into(),
            database: "db".into(),
            ca_certificate: String::new(),
        };
        let bindables = Bindables {
            databases: [("db".to_owned(), bound)].into(),
            ..Bindables::default()
        };
        let bindings = environment(&spec, spec.component("web").unwrap(), When::Run, &bindables);
        let seen: Vec<_> = bindings
            .iter()
            .map(|binding| (binding.key.as_str(), binding.value.as_str(), binding.secret))
            .collect();
        let url = "postgresql://db:hunter2@db:5432/db?sslmode=require";
        assert_eq!(
            seen,
            [
                ("HOST", "db:5432", false),
                ("OWN_URL", &*format!("{url}&application_name=web"), true),
                ("ODD", "${db.REDIS_URL} ${db.pool.PORT}", false),
                ("PORT", "8080", false),
                ("DATABASE_URL", url, true),
            ]
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let binding = Binding {
            key: "TOKEN".into(),
            value: "hunter2".into(),
            secret: true,
        };
        assert!(!format!("{binding:?}").contains("hunter2"));
    }
}

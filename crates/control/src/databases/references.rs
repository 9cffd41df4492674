//! References to databases that are not in the spec.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{Changes, DatabaseFacts, DatabaseOutcome, Facts, Subject};
use mainstay_spec::{AppSpec, ComponentRef, database_binding::DatabaseBinding, environment};

/// The first `${name.VARIABLE}` of a database's variable where nothing of the spec has that name, as facts about the component that has it.
pub(crate) fn unresolved(spec: &AppSpec, changes: &Changes) -> Option<Facts> {
    let components = spec
        .components()
        .filter(|component| !matches!(component, ComponentRef::Database(_)));
    for component in components {
        for variable in component.variables().iter().chain(&spec.envs) {
            if !variable.scope().at_run() {
                continue;
            }
            let missing = environment::references(variable.value.reveal())
                .find_map(|reference| missing(spec, reference).map(|name| (name, reference)));
            if let Some((name, reference)) = missing {
                return Some(facts(spec, component, &variable.key, name, reference, changes));
            }
        }
    }
    None
}

/// The name that it asks for, if that should be a database and is nothing.
fn missing<'a>(spec: &AppSpec, reference: &'a str) -> Option<&'a str> {
    let (name, variable) = reference.split_once('.')?;
    let is_of_databases = DatabaseBinding::VARIABLES.contains(&variable);
    (is_of_databases && name != "_self" && spec.component(name).is_none()).then_some(name)
}

fn facts(
    spec: &AppSpec,
    component: ComponentRef<'_>,
    key: &str,
    name: &str,
    reference: &str,
    changes: &Changes,
) -> Facts {
    Facts {
        component: component.name().to_owned(),
        kind: component.kind(),
        observed_at: Timestamp::now(),
        subject: Subject::Database(DatabaseFacts {
            name: name.to_owned(),
            engine: "PostgreSQL".to_owned(),
            address: name.to_owned(),
            attempts: 1,
            deadline_passed: true,
            outcome: DatabaseOutcome::NotFound {
                reference: format!("${{{reference}}}"),
                place: place(component, key),
                existing: spec
                    .databases
                    .iter()
                    .map(|database| database.name.clone())
                    .collect(),
            },
        }),
        log_tail: Vec::new(),
        changes: changes.clone(),
    }
}

/// `services[web].envs[DATABASE_URL]`; also where the app's own variables give it to the component.
pub(super) fn place(component: ComponentRef<'_>, key: &str) -> String {
    if component.variables().iter().any(|variable| variable.key == key) {
        format!("{}[{}].envs[{key}]", component.kind().list(), component.name())
    } else {
        format!("envs[{key}]")
    }
}

/// The first component that refers to the database by name; else the first that could, for every component gets its URL.
pub(super) fn who_needs<'a>(spec: &'a AppSpec, database: &str) -> Option<ComponentRef<'a>> {
    let reference = format!("${{{database}.");
    let refers = |component: &ComponentRef<'_>| {
        component
            .variables()
            .iter()
            .any(|variable| variable.value.reveal().contains(&reference))
    };
    let others = || {
        spec.components()
            .filter(|component| !matches!(component, ComponentRef::Database(_)))
    };
    others().find(refers).or_else(|| others().next())
}

//! What differs between two specs, in sentences. Values of secrets are never shown.

use std::collections::BTreeMap;

use serde_json::Value;

/// At most this many sentences; the rest is counted.
const SENTENCES_MAX: usize = 20;

/// One sentence per difference between two specs in wire form, removals first (an update replaces the whole spec).
pub fn changes(before: &Value, after: &Value) -> Vec<String> {
    let (before, after) = (flatten(before), flatten(after));
    let mut sentences = Vec::new();
    for (path, old) in missing_from(&before, &after) {
        sentences.push(format!("{path} was removed{}", was(old)));
    }
    for (path, new) in missing_from(&after, &before) {
        sentences.push(format!("{path} was added{}", is(new)));
    }
    for (path, new) in &after {
        if let Some(old) = before.get(path).filter(|old| *old != new) {
            sentences.push(changed(path, old, new));
        }
    }
    if sentences.len() > SENTENCES_MAX {
        let rest = sentences.len() - SENTENCES_MAX;
        sentences.truncate(SENTENCES_MAX);
        sentences.push(format!("… and {rest} more"));
    }
    sentences
}

/// The paths of `these` that `those` lacks; of an item that is missing as a whole, only the item.
fn missing_from<'a>(
    these: &'a BTreeMap<String, Leaf>,
    those: &BTreeMap<String, Leaf>,
) -> impl Iterator<Item = (&'a String, &'a Leaf)> {
    let missing = these.iter().filter(|(path, _)| !those.contains_key(*path));
    let mut item: Option<String> = None;
    missing
        .collect::<Vec<_>>()
        .into_iter()
        .filter(move |(path, leaf)| {
            if item.as_ref().is_some_and(|item| path.starts_with(item.as_str())) {
                return false;
            }
            if **leaf == Leaf::Item {
                item = Some(format!("{path}."));
            }
            true
        })
}

#[derive(Debug, PartialEq)]
enum Leaf {
    /// An item of a list, as a whole.
    Item,
    Shown(String),
    /// Compared, never shown.
    Hidden(String),
}

fn was(old: &Leaf) -> String {
    match old {
        Leaf::Shown(text) => format!(" (it was {text})"),
        Leaf::Hidden(_) | Leaf::Item => String::new(),
    }
}

fn is(new: &Leaf) -> String {
    match new {
        Leaf::Shown(text) => format!(": {text}"),
        Leaf::Hidden(_) | Leaf::Item => String::new(),
    }
}

fn changed(path: &str, old: &Leaf, new: &Leaf) -> String {
    match (old, new) {
        (Leaf::Shown(old), Leaf::Shown(new)) => format!("{path} changed from {old} to {new}"),
        (_, Leaf::Hidden(new)) if new.is_empty() => format!("{path} became empty"),
        _ => format!("{path} changed"),
    }
}

/// Paths to leaves: list items are named by their `name`, `key` or `path`, so that a moved item is no difference.
fn flatten(spec: &Value) -> BTreeMap<String, Leaf> {
    let mut leaves = BTreeMap::new();
    walk(spec, String::new(), false, &mut leaves);
    leaves
}

fn walk(value: &Value, path: String, hidden: bool, leaves: &mut BTreeMap<String, Leaf>) {
    match value {
        Value::Object(fields) => {
            let secret = fields.contains_key("key");
            for (key, field) in fields.iter().filter(|(key, _)| !is_name(key)) {
                let at = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                walk(
                    field,
                    at,
                    hidden || (secret && key == "value") || is_credential(key),
                    leaves,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{path}[{}]", item_name(item, index));
                if item.is_object() {
                    leaves.insert(at.clone(), Leaf::Item);
                }
                walk(item, at, hidden, leaves);
            }
        }
        scalar => {
            let text = scalar.as_str().map_or_else(|| scalar.to_string(), str::to_owned);
            leaves.insert(
                path,
                if hidden {
                    Leaf::Hidden(text)
                } else {
                    Leaf::Shown(text)
                },
            );
        }
    }
}

fn is_name(key: &str) -> bool {
    matches!(key, "name" | "key")
}

fn is_credential(key: &str) -> bool {
    matches!(
        key,
        "registry_credentials" | "token" | "api_key" | "password" | "basic_auth"
    )
}

fn item_name(item: &Value, index: usize) -> String {
    ["name", "key", "path", "domain", "rule"]
        .iter()
        .find_map(|field| item.get(field)?.as_str())
        .map_or_else(|| index.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(fields: impl Into<Value>) -> Value {
        let fields: Value = fields.into();
        json!({ "name": "shop", "services": [fields] })
    }

    #[test]
    fn names_the_field_and_both_values() {
        let before = service(json!({ "name": "web", "http_port": 8080 }));
        let after = service(json!({ "name": "web", "http_port": 9090 }));
        assert_eq!(
            changes(&before, &after),
            ["services[web].http_port changed from 8080 to 9090"]
        );
    }

    #[test]
    fn removed_variables_are_named_and_never_shown() {
        let before = service(json!({ "name": "web", "envs": [{ "key": "TOKEN", "value": "hunter2" }] }));
        let after = service(json!({ "name": "web" }));
        assert_eq!(
            changes(&before, &after),
            ["services[web].envs[TOKEN] was removed"]
        );
    }

    #[test]
    fn an_emptied_secret_is_said() {
        let before = service(json!({ "name": "web", "envs": [{ "key": "TOKEN", "value": "hunter2" }] }));
        let after = service(json!({ "name": "web", "envs": [{ "key": "TOKEN", "value": "" }] }));
        assert_eq!(
            changes(&before, &after),
            ["services[web].envs[TOKEN].value became empty"]
        );
    }

    #[test]
    fn a_moved_item_is_no_difference() {
        let before =
            json!({ "services": [{ "name": "a", "http_port": 1 }, { "name": "b", "http_port": 2 }] });
        let after = json!({ "services": [{ "name": "b", "http_port": 2 }, { "name": "a", "http_port": 1 }] });
        assert_eq!(changes(&before, &after), Vec::<String>::new());
    }
}

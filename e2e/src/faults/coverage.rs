//! Everything that the reference names has a fault, or a written reason why it has none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use mainstay_diagnosis::{Cause, Code, exit_codes};
use serde::Deserialize;

use super::Fault;

/// Classes of failure that are known from practice.
const CLASSES: [(&str, &[u32]); 5] = [
    ("B", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
    ("D", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14]),
    ("H", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("R", &[1]),
    ("DB", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
];

/// Name → why no fault here reproduces it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotReproduced {
    codes: BTreeMap<String, String>,
    causes: BTreeMap<String, String>,
    classes: BTreeMap<String, String>,
}

fn written() -> NotReproduced {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/not-reproduced.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(all: impl Iterator<Item = String>, covered: &BTreeSet<String>, excused: &BTreeMap<String, String>) {
    let all: BTreeSet<String> = all.collect();
    let silent: Vec<&String> = all
        .iter()
        .filter(|name| !covered.contains(*name) && !excused.contains_key(*name))
        .collect();
    let unknown: Vec<&String> = excused.keys().filter(|name| !all.contains(*name)).collect();
    assert_eq!(silent, Vec::<&String>::new(), "no fault, and no word why");
    assert_eq!(unknown, Vec::<&String>::new(), "the reference has no such thing");
    assert!(excused.values().all(|why| !why.is_empty()));
}

#[test]
fn every_code_has_a_fault() {
    let covered = Fault::all().into_iter().filter_map(|fault| fault.expect.code);
    let all = Code::ALL.iter().map(ToString::to_string);
    check(
        all,
        &covered.map(|code| code.to_string()).collect(),
        &written().codes,
    );
}

#[test]
fn every_cause_has_a_fault() {
    let covered = Fault::all().into_iter().filter_map(|fault| fault.expect.cause);
    let all = Cause::ALL.iter().map(ToString::to_string);
    check(
        all,
        &covered.map(|cause| cause.to_string()).collect(),
        &written().causes,
    );
}

/// The rows of the table of exit codes are classes as well: `exit 137`, `exit 128+n`.
#[test]
fn every_class_and_every_exit_code_has_a_fault() {
    let named = CLASSES
        .iter()
        .flat_map(|(letter, numbers)| numbers.iter().map(move |number| format!("{letter}{number}")));
    let rows = exit_codes::LISTED.iter().map(|code| format!("exit {code}"));
    let all = named.chain(rows).chain(["exit 128+n".to_owned()]);
    let covered = Fault::all().into_iter().flat_map(|fault| fault.expect.classes);
    let all: Vec<String> = all.collect();
    let covered: BTreeSet<String> = covered.filter(|class| all.contains(class)).collect();
    check(all.into_iter(), &covered, &written().classes);
}

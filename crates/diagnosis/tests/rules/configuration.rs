//! Ends that the configuration explains: variables that are missing, removed or emptied.

use mainstay_diagnosis::{Cause, facts::*};

use crate::{instance::with_exit, world::*};

#[test]
fn a_missing_variable_is_named_only_when_it_is_not_set() {
    let mut facts = instance_facts(with_exit(exited(1)));
    facts.log_tail = vec!["Error: SECRET_KEY is required".into()];
    let missing = reason(&facts);
    assert_eq!(missing.cause, Cause::MissingEnv);
    assert!(missing.message.contains("`SECRET_KEY`"), "{}", missing.message);
    let Subject::Instance(instance) = &mut facts.subject else {
        unreachable!()
    };
    instance.variables.push("SECRET_KEY".into());
    assert_eq!(reason(&facts).cause, Cause::EnvRefused);
}

#[test]
fn a_variable_that_the_update_removed_is_said_to_be_removed() {
    let mut facts = instance_facts(with_exit(exited(1)));
    facts.log_tail = vec!["KeyError: 'DATABASE_URL'".into()];
    facts.changes.sentences = vec!["services[web].envs[DATABASE_URL] was removed".into()];
    assert_eq!(reason(&facts).cause, Cause::ConfigurationRemoved);
}

#[test]
fn an_emptied_variable_counts_as_removed() {
    let mut instance = with_exit(exited(1));
    instance.variables.push("SECRET_KEY".into());
    let mut facts = instance_facts(instance);
    facts.log_tail = vec!["Error: SECRET_KEY is required".into()];
    facts.changes.sentences = vec!["services[web].envs[SECRET_KEY].value became empty".into()];
    assert_eq!(reason(&facts).cause, Cause::ConfigurationRemoved);
}

#[test]
fn removed_variables_are_decisive_when_nothing_else_changed() {
    let mut facts = instance_facts(with_exit(exited(1)));
    facts.changes.sentences = vec!["services[web].envs[TOKEN] was removed".into()];
    let told = reason(&facts);
    assert_eq!(told.cause, Cause::ConfigurationRemoved);
    assert!(told.message.contains("took away `TOKEN`"), "{}", told.message);
    facts
        .changes
        .sentences
        .push("web is built from 2222 instead of 1111".into());
    let told = reason(&facts);
    assert_eq!(told.cause, Cause::ConfigurationRemoved);
    assert!(told.message.contains("but for its source"), "{}", told.message);
    facts
        .changes
        .sentences
        .push("services[web].http_port changed from 1 to 2".into());
    assert_eq!(reason(&facts).cause, Cause::ExitedWithError);
}

#[test]
fn a_fallback_to_localhost_after_the_url_was_removed_is_a_removed_variable() {
    let mut facts = instance_facts(with_exit(exited(1)));
    facts.log_tail = vec!["Error: connect ECONNREFUSED 127.0.0.1:5432".into()];
    facts.changes.sentences = vec![
        "envs[DATABASE_URL] was removed".into(),
        "services[web].http_port changed from 1 to 2".into(),
    ];
    let told = reason(&facts);
    assert_eq!(told.cause, Cause::ConfigurationRemoved);
    assert!(told.message.contains("`DATABASE_URL`"), "{}", told.message);
}

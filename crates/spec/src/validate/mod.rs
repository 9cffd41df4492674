//! The rules that a spec must keep, checked on the types. Every function adds what it finds and goes on.

mod app;
mod component;
mod cron;
mod format;
mod health_check;
mod observing;
mod routing;
mod scaling;
mod source;
mod variable;

use std::{fmt::Display, ops::RangeInclusive};

use crate::{
    error::{Problem, SpecError},
    model::AppSpec,
    parse::Sources,
};

/// Every broken rule of a spec, by path, without places.
pub fn check(spec: &AppSpec) -> Vec<SpecError> {
    check_with(spec, Sources::Required)
}

/// As [`check`], with a choice about sources.
pub fn check_with(spec: &AppSpec, sources: Sources) -> Vec<SpecError> {
    let mut findings = Findings::default();
    app::check(spec, &mut findings);
    for (path, component) in spec.components_with_paths() {
        component::check(component, &path, sources, &mut findings);
    }
    routing::check(spec, &mut findings);
    findings.0
}

/// The broken rules found so far.
#[derive(Debug, Default)]
struct Findings(Vec<SpecError>);

impl Findings {
    fn add(&mut self, error: SpecError) {
        self.0.push(error);
    }

    fn required(&mut self, path: impl Into<String>, value: &str) {
        if value.is_empty() {
            self.add(SpecError::new(path, Problem::Required, "is required"));
        }
    }

    fn range(&mut self, path: impl Into<String>, value: Option<u32>, range: RangeInclusive<u32>) {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let rule = format!("must be between {} and {}", range.start(), range.end());
            self.add(SpecError::new(path, Problem::OutOfRange, rule).value(value));
        }
    }

    fn port(&mut self, path: impl Into<String>, value: Option<u16>) {
        if value == Some(0) {
            self.add(SpecError::new(path, Problem::OutOfRange, "must be between 1 and 65535").value(0));
        }
    }

    /// A value that is given must pass `test`.
    fn shape(&mut self, path: impl Into<String>, value: &str, test: impl Fn(&str) -> bool, rule: &str) {
        if !value.is_empty() && !test(value) {
            self.add(SpecError::new(path, Problem::Malformed, rule).value(value));
        }
    }

    fn conflict(&mut self, path: impl Into<String>, rule: impl Into<String>) {
        self.add(SpecError::new(path, Problem::Conflict, rule));
    }

    /// Notes each value that was there before.
    fn unique<T: PartialEq + Display>(&mut self, values: impl Iterator<Item = (String, T)>, rule: &str) {
        let mut seen: Vec<T> = Vec::new();
        for (path, value) in values {
            if seen.contains(&value) {
                self.add(SpecError::new(path, Problem::NotUnique, rule).value(&value));
            } else {
                seen.push(value);
            }
        }
    }
}

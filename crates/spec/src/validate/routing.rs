//! Rules about ingress and routes.

use std::time::Duration;

use super::{Findings, format};
use crate::{
    decode::closest,
    duration,
    error::{Problem, SpecError},
    ingress,
    kind::ComponentKind,
    model::{AppSpec, ComponentRef, Cors, IngressMatch, IngressRedirect, IngressRule},
};

const MATCH_CHARS_MAX: usize = 256;
const CORS_AGE_MAX: Duration = Duration::from_hours(24);
const REDIRECT_CODES: [u32; 7] = [300, 301, 302, 303, 304, 307, 308];

pub(super) fn check(spec: &AppSpec, findings: &mut Findings) {
    for (path, component) in spec.components_with_paths() {
        for (index, route) in component.routes().iter().enumerate() {
            path_prefix(
                &format!("{path}.routes[{index}].path"),
                route.path.as_deref(),
                findings,
            );
        }
        if let Some(cors) = component.cors() {
            self::cors(cors, &format!("{path}.cors"), findings);
        }
    }
    if let Some(ingress) = &spec.ingress {
        for (index, rule) in ingress.rules.iter().enumerate() {
            self::rule(rule, &format!("ingress.rules[{index}]"), spec, findings);
        }
        let url = ingress.custom_error_page_url.as_deref().unwrap_or_default();
        findings.shape(
            "ingress.custom_error_page_url",
            url,
            format::is_https_url,
            "must be an https:// URL",
        );
        if let Some(header) = &ingress.secure_header {
            findings.required("ingress.secure_header.key", &header.key);
        }
    }
    let matches = ingress::written_matches(spec).into_iter();
    findings.unique(
        matches,
        "another rule or route has the same match, so this one can never be reached",
    );
}

fn rule(rule: &IngressRule, at: &str, spec: &AppSpec, findings: &mut Findings) {
    if let Some(matching) = &rule.r#match {
        self::matching(matching, &format!("{at}.match"), findings);
    }
    match (&rule.component, &rule.redirect) {
        (Some(_), Some(_)) => findings.conflict(format!("{at}.redirect"), "excludes `component`"),
        (None, None) => {
            findings.add(SpecError::new(
                at,
                Problem::Required,
                "needs one of component, redirect",
            ));
        }
        _ => {}
    }
    if let Some(component) = &rule.component {
        let path = format!("{at}.component");
        component_exists(&format!("{path}.name"), &component.name, spec, findings);
        if component.preserve_path_prefix && component.rewrite.is_some() {
            findings.conflict(format!("{path}.rewrite"), "excludes `preserve_path_prefix`");
        }
        path_prefix(&format!("{path}.rewrite"), component.rewrite.as_deref(), findings);
    }
    if let Some(redirect) = &rule.redirect {
        self::redirect(redirect, &format!("{at}.redirect"), findings);
    }
    if let Some(cors) = &rule.cors {
        self::cors(cors, &format!("{at}.cors"), findings);
    }
}

fn matching(matching: &IngressMatch, at: &str, findings: &mut Findings) {
    let parts = [("path", &matching.path), ("authority", &matching.authority)];
    for (field, string_match) in parts {
        let Some(string_match) = string_match else {
            continue;
        };
        let path = format!("{at}.{field}");
        if string_match.exact.is_some() == string_match.prefix.is_some() {
            findings.conflict(&path, "needs exactly one of prefix, exact");
        }
        if field == "path" {
            path_prefix(
                &format!("{path}.prefix"),
                string_match.prefix.as_deref(),
                findings,
            );
            path_prefix(&format!("{path}.exact"), string_match.exact.as_deref(), findings);
        }
    }
}

/// Accepts `/…` of a bounded length; empty or missing means `/`.
fn path_prefix(at: &str, path: Option<&str>, findings: &mut Findings) {
    let rule = format!("must be a path that begins with `/`, of at most {MATCH_CHARS_MAX} characters");
    let test = |path: &str| path.chars().count() <= MATCH_CHARS_MAX && format::is_url_path(path);
    findings.shape(at, path.unwrap_or_default(), test, &rule);
}

fn component_exists(at: &str, name: &str, spec: &AppSpec, findings: &mut Findings) {
    findings.required(at, name);
    let routable = |kind| {
        matches!(
            kind,
            ComponentKind::Service | ComponentKind::StaticSite | ComponentKind::Functions
        )
    };
    let names: Vec<&str> = spec
        .components()
        .filter(|component| routable(component.kind()))
        .map(ComponentRef::name)
        .collect();
    match spec.component(name) {
        _ if name.is_empty() => {}
        None => {
            let rule = "must be the name of a service, static site or functions component of the app";
            let mut error = SpecError::new(at, Problem::UnknownReference, rule).value(name);
            error.suggestion = closest(name, &names).map(|name| format!("did you mean `{name}`?"));
            findings.add(error);
        }
        Some(component) if !routable(component.kind()) => {
            let rule = format!("a {} gets no requests", component.kind().noun());
            findings.add(SpecError::new(at, Problem::Conflict, rule).value(name));
        }
        Some(_) => {}
    }
}

fn redirect(redirect: &IngressRedirect, at: &str, findings: &mut Findings) {
    findings.port(format!("{at}.port"), redirect.port);
    let scheme = redirect.scheme.as_deref().unwrap_or_default();
    let known = |scheme: &str| matches!(scheme, "http" | "https");
    findings.shape(format!("{at}.scheme"), scheme, known, "must be http or https");
    if let Some(code) = redirect
        .redirect_code
        .filter(|code| !REDIRECT_CODES.contains(code))
    {
        let rule = "must be one of 300, 301, 302, 303, 304, 307, 308";
        findings.add(SpecError::new(format!("{at}.redirect_code"), Problem::OutOfRange, rule).value(code));
    }
    for (field, text) in [("uri", &redirect.uri), ("authority", &redirect.authority)] {
        let text = text.as_deref().unwrap_or_default();
        findings.shape(
            format!("{at}.{field}"),
            text,
            format::is_printable,
            "must not hold spaces or control characters",
        );
    }
    if redirect.uri.is_none()
        && redirect.authority.is_none()
        && redirect.scheme.is_none()
        && redirect.port.is_none()
    {
        findings.add(SpecError::new(
            at,
            Problem::Required,
            "needs one of uri, authority, scheme, port",
        ));
    }
}

fn cors(cors: &Cors, at: &str, findings: &mut Findings) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let path = format!("{at}.allow_origins[{index}]");
        let texts: Vec<&String> = [&origin.exact, &origin.prefix, &origin.regex]
            .into_iter()
            .flatten()
            .collect();
        if texts.len() != 1 {
            findings.conflict(&path, "needs exactly one of exact, regex, prefix");
        }
        if texts.iter().any(|text| text.chars().count() > MATCH_CHARS_MAX) {
            let rule = format!("must have at most {MATCH_CHARS_MAX} characters");
            findings.add(SpecError::new(&path, Problem::OutOfRange, rule));
        }
    }
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin.regex.is_some()) {
        findings.conflict(
            format!("{at}.allow_credentials"),
            "excludes origins given by regex",
        );
    }
    let age = cors.max_age.as_deref().unwrap_or_default();
    let is_age = |text: &str| duration::parse(text).is_some_and(|age| age <= CORS_AGE_MAX);
    findings.shape(
        format!("{at}.max_age"),
        age,
        is_age,
        "must be a duration such as 5h30m, at most 24h",
    );
}

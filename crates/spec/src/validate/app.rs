//! Rules about the app as a whole: names, domains, maintenance, alerts.

use super::{Findings, format, observing, variable};
use crate::{
    error::{Problem, SpecError},
    model::{AppSpec, Domain},
};

const DOMAINS_MAX: usize = 500;

pub(super) fn check(spec: &AppSpec, findings: &mut Findings) {
    name("name", &spec.name, findings);
    if spec.components().next().is_none() {
        let suggestion = "add `services`, `workers`, `jobs` or `static_sites`";
        findings.add(
            SpecError::new("", Problem::Required, "an app needs at least one component")
                .suggestion(suggestion),
        );
    }
    component_names_are_unique(spec, findings);
    variable::check(&spec.envs, "envs", findings);
    observing::app_alerts(&spec.alerts, findings);
    domains(&spec.domains, findings);
    if let Some(url) = spec
        .maintenance
        .as_ref()
        .and_then(|maintenance| maintenance.offline_page_url.as_deref())
    {
        findings.shape(
            "maintenance.offline_page_url",
            url,
            format::is_https_url,
            "must be an https:// URL",
        );
    }
}

/// Checks the name of the app or of a component.
pub(super) fn name(path: &str, value: &str, findings: &mut Findings) {
    findings.required(path, value);
    if !value.is_empty() && !format::is_name(value) {
        let mut error = SpecError::new(path, Problem::Malformed, format::NAME_RULE).value(value);
        error.suggestion = format::as_name(value).map(|name| format!("use `{name}`"));
        findings.add(error);
    }
}

fn component_names_are_unique(spec: &AppSpec, findings: &mut Findings) {
    let names = spec
        .components_with_paths()
        .filter(|(_, component)| !component.name().is_empty())
        .map(|(path, component)| (format!("{path}.name"), component.name()));
    findings.unique(names, "another component of the app has this name");
}

fn domains(domains: &[Domain], findings: &mut Findings) {
    if domains.len() > DOMAINS_MAX {
        let rule = format!("an app has at most {DOMAINS_MAX} domains");
        findings.add(SpecError::new("domains", Problem::OutOfRange, rule).value(domains.len()));
        return;
    }
    for (index, domain) in domains.iter().enumerate() {
        one_domain(domain, &format!("domains[{index}]"), findings);
    }
    let hosts = domains
        .iter()
        .enumerate()
        .filter(|(_, domain)| !domain.domain.is_empty());
    let hosts = hosts.map(|(index, domain)| (format!("domains[{index}].domain"), domain.host()));
    findings.unique(hosts, "the domain is given twice");
    for (index, _) in domains
        .iter()
        .enumerate()
        .filter(|(_, domain)| domain.is_primary())
        .skip(1)
    {
        findings.conflict(format!("domains[{index}].type"), "only one domain can be PRIMARY");
    }
}

fn one_domain(domain: &Domain, at: &str, findings: &mut Findings) {
    findings.required(format!("{at}.domain"), &domain.domain);
    let rule = "must be a host name such as www.example.com";
    findings.shape(format!("{at}.domain"), &domain.domain, format::is_domain, rule);
    if domain.wildcard && domain.zone.is_none() {
        findings.conflict(format!("{at}.wildcard"), "a wildcard domain needs its `zone`");
    }
    if let Some(version) = &domain.minimum_tls_version {
        let known = |text: &str| matches!(text, "1.2" | "1.3");
        findings.shape(
            format!("{at}.minimum_tls_version"),
            version,
            known,
            "must be \"1.2\" or \"1.3\"",
        );
    }
}

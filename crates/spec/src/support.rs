//! What a valid spec may ask for but this version cannot do: refused by name, or accepted with a word that it has no effect. Never ignored.

use crate::{
    decode::closest,
    environment,
    error::{Problem, SpecError},
    ingress::{self, HostMatch},
    model::{Alert, AlertRule, AppSpec, ComponentRef, Database, DatabaseEngine, EgressType, Variable},
};

/// Everything in the spec that this version cannot run, by path. An app with any of it must be refused.
pub fn unsupported(spec: &AppSpec) -> Vec<SpecError> {
    let of_components = spec
        .components_with_paths()
        .flat_map(|(path, component)| of_component(component, &path));
    let found = of_components.chain(of_app(spec)).chain(of_routing(spec));
    found
        .map(|(path, reason)| SpecError::new(path, Problem::Unsupported, reason))
        .collect()
}

/// Each row: is it asked for, where, and why it cannot be had.
fn of_component(component: ComponentRef<'_>, at: &str) -> Vec<(String, &'static str)> {
    let whole = match component {
        ComponentRef::Functions(_) => {
            Some("functions cannot be run by this version: there is no functions runtime yet")
        }
        ComponentRef::Database(database) => of_database(database),
        ComponentRef::Service(_)
        | ComponentRef::Worker(_)
        | ComponentRef::Job(_)
        | ComponentRef::StaticSite(_) => None,
    };
    let (autoscaling, sleep) = match component {
        ComponentRef::Service(service) => (service.autoscaling.is_some(), service.inactivity_sleep.is_some()),
        ComponentRef::Worker(worker) => (worker.autoscaling.is_some(), false),
        _ => (false, false),
    };
    let rows = [
        (
            autoscaling,
            "autoscaling",
            "autoscaling cannot be done by this version yet; set `instance_count`",
        ),
        (
            sleep,
            "inactivity_sleep",
            "scaling to zero cannot be done by this version yet",
        ),
        (
            !component.log_destinations().is_empty(),
            "log_destinations",
            "logs cannot be forwarded by this version yet",
        ),
        (component.cors().is_some(), "cors", CORS),
    ];
    let fields = rows
        .into_iter()
        .filter(|(asked, ..)| *asked)
        .map(|(_, field, why)| (format!("{at}.{field}"), why));
    whole
        .map(|why| (at.to_owned(), why))
        .into_iter()
        .chain(fields)
        .collect()
}

/// What Debian has is what this version runs itself for development; clusters of any engine can be attached.
fn of_database(database: &Database) -> Option<&'static str> {
    match database.engine.unwrap_or(DatabaseEngine::Unset) {
        _ if database.production => None,
        DatabaseEngine::Unset
        | DatabaseEngine::Pg
        | DatabaseEngine::Mysql
        | DatabaseEngine::Redis
        | DatabaseEngine::Valkey => None,
        _ => Some(
            "databases of this engine are not run by this version (`PG`, `MYSQL` and `REDIS` are); register one of your own and attach it with `production: true` and `cluster_name`",
        ),
    }
}

const CORS: &str =
    "the router of this version cannot answer CORS requests itself yet; let the app answer them";

fn of_app(spec: &AppSpec) -> Vec<(String, &'static str)> {
    let dedicated = spec
        .egress
        .as_ref()
        .is_some_and(|egress| egress.r#type == Some(EgressType::DedicatedIp));
    let mut found = Vec::new();
    if dedicated {
        found.push((
            "egress.type".to_owned(),
            "outbound connections leave by the machine's own addresses",
        ));
    }
    if spec.vpc.as_ref().is_some_and(|vpc| vpc.id.is_some()) {
        found.push((
            "vpc".to_owned(),
            "there are no private networks to join on one machine",
        ));
    }
    for (index, domain) in spec.domains.iter().enumerate() {
        let at = |field: &str| format!("domains[{index}].{field}");
        if domain.wildcard {
            found.push((
                at("wildcard"),
                "wildcard domains cannot be routed by this version yet",
            ));
        }
        if domain.zone.is_some() {
            found.push((
                at("zone"),
                "DNS zones are not managed by this version; point the records here yourself",
            ));
        }
        if domain.certificate.is_some() {
            found.push((
                at("certificate"),
                "certificates are not managed by this version yet",
            ));
        }
    }
    found
}

fn of_routing(spec: &AppSpec) -> Vec<(String, &'static str)> {
    let Some(ingress) = &spec.ingress else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let written = ingress
        .rules
        .iter()
        .filter(|rule| rule.component.is_some() || rule.redirect.is_some());
    for (index, (rule, resolved)) in written.zip(ingress::resolve(spec)).enumerate() {
        let at = format!("ingress.rules[{index}]");
        if let HostMatch::Prefix(_) = resolved.host {
            let why = "only whole host names can be matched by this version yet";
            found.push((format!("{at}.match.authority.prefix"), why));
        }
        if rule
            .redirect
            .as_ref()
            .is_some_and(|redirect| redirect.redirect_code == Some(304))
        {
            let why = "304 sends nobody anywhere; use 301, 302, 303, 307 or 308";
            found.push((format!("{at}.redirect.redirect_code"), why));
        }
        if rule.cors.is_some() {
            found.push((format!("{at}.cors"), CORS));
        }
    }
    if ingress.secure_header.is_some() {
        found.push((
            "ingress.secure_header".into(),
            "requests cannot be filtered by a header by this version yet",
        ));
    }
    found
}

/// What should be known about a spec that is accepted.
pub(crate) fn warnings(spec: &AppSpec) -> Vec<SpecError> {
    let mut warnings = without_effect(spec);
    warnings.extend(dangling_references(spec));
    warnings.extend(single_instance_sizes(spec));
    warnings.extend(stand_ins(spec));
    warnings.extend(hidden_rules(spec));
    warnings.extend(unreachable_services(spec));
    warnings
}

fn without_effect(spec: &AppSpec) -> Vec<SpecError> {
    let maintenance = spec.maintenance.clone().unwrap_or_default();
    let ingress = spec.ingress.clone().unwrap_or_default();
    let rows = [
        (spec.region.is_some(), "region", "the app runs on this machine"),
        (
            !spec.features.is_empty(),
            "features",
            "features of the original platform are not known here",
        ),
        (has_unwatched(&spec.alerts), "alerts", UNWATCHED),
        (
            maintenance.enabled || maintenance.archive,
            "maintenance",
            "this version cannot take an app offline yet",
        ),
        (
            spec.disable_edge_cache,
            "disable_edge_cache",
            "there is no edge cache",
        ),
        (
            spec.disable_email_obfuscation,
            "disable_email_obfuscation",
            "pages are never changed here",
        ),
        (
            spec.enhanced_threat_control_enabled,
            "enhanced_threat_control_enabled",
            "there is no edge",
        ),
        (
            ingress.load_balancer.is_some(),
            "ingress.load_balancer",
            "the router of this machine is used",
        ),
        (
            ingress.custom_error_page_url.is_some(),
            "ingress.custom_error_page_url",
            "the router shows its own error pages",
        ),
    ];
    let of_app = rows
        .into_iter()
        .filter(|(given, ..)| *given)
        .map(|(_, path, why)| (path.to_owned(), why));
    let of_components = spec
        .components_with_paths()
        .flat_map(|(path, component)| component_without_effect(component, &path));
    let of_domains = spec
        .domains
        .iter()
        .enumerate()
        .filter(|(_, domain)| domain.minimum_tls_version.is_some());
    let of_domains = of_domains.map(|(index, _)| {
        (
            format!("domains[{index}].minimum_tls_version"),
            "TLS is not ended here yet",
        )
    });
    let found = of_app.chain(of_components).chain(of_domains);
    found
        .map(|(path, why)| SpecError::new(path, Problem::NoEffect, format!("accepted, has no effect: {why}")))
        .collect()
}

const UNWATCHED: &str =
    "of alerts, only those about deployments, failed jobs, CPU, memory and restarts are sent by this version";

fn has_unwatched(alerts: &[Alert]) -> bool {
    let unwatched = |rule: AlertRule| !rule.is_watched();
    alerts.iter().any(|alert| alert.rule.is_some_and(unwatched))
}

fn component_without_effect(component: ComponentRef<'_>, at: &str) -> Vec<(String, &'static str)> {
    let prebuilt = component
        .source()
        .is_some_and(|source| source.clone_url().is_none());
    let not_built = "a prebuilt image is not built";
    let rows = [
        (
            component.source().is_some_and(|source| source.deploy_on_push()),
            source_field(component),
            "pushes are not watched; deploy again to take up new commits",
        ),
        (has_unwatched(component.alerts()), "alerts", UNWATCHED),
        (
            prebuilt && component.dockerfile_path().is_some(),
            "dockerfile_path",
            not_built,
        ),
        (
            prebuilt && component.build_command().is_some(),
            "build_command",
            not_built,
        ),
        (
            prebuilt && component.environment_slug().is_some(),
            "environment_slug",
            not_built,
        ),
    ];
    rows.into_iter()
        .filter(|(given, ..)| *given)
        .map(|(_, field, why)| (format!("{at}.{field}"), why))
        .collect()
}

fn source_field(component: ComponentRef<'_>) -> &'static str {
    use crate::model::Source;
    match component.source() {
        Some(Source::GitLab(_)) => "gitlab.deploy_on_push",
        Some(Source::Bitbucket(_)) => "bitbucket.deploy_on_push",
        Some(Source::Image(_)) => "image.deploy_on_push",
        _ => "github.deploy_on_push",
    }
}

/// `${name.VAR}` where `name` is no component: kept as literal text, most often a spelling mistake.
fn dangling_references(spec: &AppSpec) -> Vec<SpecError> {
    let of_components = spec.components_with_paths().flat_map(|(path, component)| {
        component
            .variables()
            .iter()
            .enumerate()
            .map(move |(index, variable)| (format!("{path}.envs[{index}].value"), variable))
    });
    let of_app = spec
        .envs
        .iter()
        .enumerate()
        .map(|(index, variable)| (format!("envs[{index}].value"), variable));
    of_app
        .chain(of_components)
        .flat_map(|(path, variable)| dangling_in(spec, &path, variable))
        .collect()
}

fn dangling_in(spec: &AppSpec, path: &str, variable: &Variable) -> Vec<SpecError> {
    if variable.is_secret() {
        return Vec::new();
    }
    let names = || spec.components().map(ComponentRef::name);
    let unknown = |reference: &&str| {
        let name = reference.split_once('.').map(|(name, _)| name);
        name.is_some_and(|name| name != "_self" && !names().any(|known| known == name))
    };
    environment::references(variable.value.reveal())
        .filter(unknown)
        .map(|reference| {
            let name = reference.split('.').next().unwrap_or(reference);
            let known: Vec<&str> = names().collect();
            let rule = format!("`${{{reference}}}` names no component of the app and stays as it is");
            let mut warning = SpecError::new(path, Problem::UnknownReference, rule);
            warning.suggestion = closest(name, &known).map(|name| format!("did you mean `{name}`?"));
            warning
        })
        .collect()
}

/// Several instances of a size that allows one on the original platform; this machine runs them all the same.
fn single_instance_sizes(spec: &AppSpec) -> Vec<SpecError> {
    let several = spec.components_with_paths().filter(|(_, component)| {
        component.instance_count() > 1 && component.instance_size().single_instance_only
    });
    several
        .map(|(path, component)| {
            let size = component.instance_size().slug;
            let rule = format!("works here, but the size {size} allows a single instance elsewhere");
            SpecError::new(format!("{path}.instance_count"), Problem::Conflict, rule)
                .value(component.instance_count())
        })
        .collect()
}

/// MySQL that another server stands in for, unless the spec asks for that one's version.
fn stand_ins(spec: &AppSpec) -> Vec<SpecError> {
    let databases = spec.databases.iter().enumerate();
    let means_mysql = |database: &Database| {
        let asked = database.version.as_deref();
        !database.production
            && database.engine == Some(DatabaseEngine::Mysql)
            && matches!(asked, None | Some("8"))
    };
    databases
        .filter(|(_, database)| means_mysql(database))
        .map(|(index, _)| {
            let rule =
                "is served by the MariaDB of this machine's Debian: what MySQL 8 alone has is not there";
            SpecError::new(format!("databases[{index}].engine"), Problem::Conflict, rule).value("MYSQL")
        })
        .collect()
}

/// Ingress rules behind a more general one.
fn hidden_rules(spec: &AppSpec) -> Vec<SpecError> {
    let written = spec.ingress.as_ref().map_or(0, |ingress| ingress.rules.len());
    let hidden = ingress::hidden(&ingress::resolve(spec))
        .into_iter()
        .filter(|(index, _)| *index < written);
    hidden
        .map(|(index, earlier)| {
            let rule = format!("is never reached: ingress.rules[{earlier}] already takes these requests");
            SpecError::new(format!("ingress.rules[{index}].match"), Problem::NoEffect, rule)
                .suggestion("put the more specific rule first")
        })
        .collect()
}

/// Services that are meant for requests from outside but get none.
fn unreachable_services(spec: &AppSpec) -> Vec<SpecError> {
    let rules = ingress::resolve(spec);
    let gets_requests = |name: &str| rules.iter().any(|rule| rule.component() == Some(name));
    let public = spec
        .components_with_paths()
        .filter(|(_, component)| match component {
            ComponentRef::Service(service) => !service.is_internal_only(),
            ComponentRef::StaticSite(_) => true,
            _ => false,
        });
    public
        .filter(|(_, component)| !gets_requests(component.name()))
        .map(|(path, _)| {
            SpecError::new(
                path,
                Problem::NoEffect,
                "no route or ingress rule leads here from outside",
            )
            .suggestion("add a rule to `ingress.rules`")
        })
        .collect()
}

//! An app's hosts, as the router wants them: from the spec's rules, the built files and the ready instances. Pure.

use std::{collections::BTreeMap, path::PathBuf};

use mainstay_router::snapshot::{Endpoint, Host, Protocol, Route, Target, Unavailable};
use mainstay_spec::{
    AppSpec, ComponentRef, HttpProtocol,
    ids::AppId,
    ingress::{self, Action, PathMatch, ResolvedRule},
};

/// What the rules lead to.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    /// Service → its ready instances.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// Static site → the directory of its files.
    pub files: BTreeMap<String, PathBuf>,
    /// Service without a ready instance → what visitors are told.
    pub unavailable: BTreeMap<String, Unavailable>,
}

/// The app's host names with their routes: the default host first, then the domains of the spec.
pub(crate) fn app_hosts(
    app: AppId,
    spec: &AppSpec,
    default_host: &str,
    destinations: &Destinations,
) -> Vec<(String, Host)> {
    let rules = ingress::resolve(spec);
    let domains = spec.domains.iter().map(mainstay_spec::Domain::host);
    let mut hosts: Vec<String> = std::iter::once(default_host.to_owned()).chain(domains).collect();
    hosts.dedup();
    let with_routes = |host: String| {
        let matching = ingress::for_host(&rules, &host, host == default_host);
        let routes = matching
            .into_iter()
            .filter_map(|rule| route(rule, spec, destinations))
            .collect();
        (
            host,
            Host {
                app: app.to_string(),
                routes,
            },
        )
    };
    hosts.into_iter().map(with_routes).collect()
}

fn route(rule: &ResolvedRule, spec: &AppSpec, destinations: &Destinations) -> Option<Route> {
    let (path_prefix, exact) = match &rule.path {
        PathMatch::Prefix(path) => (path.clone(), false),
        PathMatch::Exact(path) => (path.clone(), true),
    };
    let route = |component: &str, preserve_path_prefix, rewrite, target| Route {
        path_prefix,
        exact,
        component: component.to_owned(),
        preserve_path_prefix,
        rewrite,
        target,
    };
    match &rule.action {
        Action::Component {
            name,
            preserve_path_prefix,
            rewrite,
        } => {
            let target = target(spec.component(name)?, destinations)?;
            Some(route(name, *preserve_path_prefix, rewrite.clone(), target))
        }
        Action::Redirect(redirect) => {
            let target = Target::Redirect {
                scheme: redirect.scheme.clone(),
                authority: redirect.authority.clone(),
                port: redirect.port,
                path: redirect.uri.clone(),
                status: redirect.code,
            };
            Some(route("", true, None, target))
        }
    }
}

fn target(component: ComponentRef<'_>, destinations: &Destinations) -> Option<Target> {
    match component {
        ComponentRef::Service(service) => Some(Target::Service {
            endpoints: destinations
                .endpoints
                .get(&service.name)
                .cloned()
                .unwrap_or_default(),
            protocol: match service.protocol() {
                HttpProtocol::Http => Protocol::Http1,
                HttpProtocol::Http2 => Protocol::Http2,
            },
            unavailable: destinations
                .unavailable
                .get(&service.name)
                .cloned()
                .unwrap_or_else(|| Unavailable {
                    status: 503,
                    code: None,
                    sentence: format!("No instance of {} is ready.", service.name),
                }),
        }),
        ComponentRef::StaticSite(site) => Some(Target::Static {
            root: destinations.files.get(&site.name)?.clone(),
            index_document: site.index_document().to_owned(),
            error_document: site.error_document().map(str::to_owned),
            catchall_document: site.catchall_document.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_spec::{Format, parse};

    use super::*;

    fn hosts(yaml: &str, destinations: &Destinations) -> Vec<(String, Vec<String>)> {
        let spec = parse(yaml, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec;
        let app = AppId::from_uuid(uuid::Uuid::nil());
        app_hosts(app, &spec, "shop.localhost", destinations)
            .into_iter()
            .map(|(host, routes)| {
                let text = |route: &Route| format!("{} -> {}", route.path_prefix, route.component);
                (host, routes.routes.iter().map(text).collect())
            })
            .collect()
    }

    #[test]
    fn every_host_leads_to_every_component() {
        let yaml = "
name: shop
domains: [{domain: Shop.example.com.}]
services:
- {name: api, git: {repo_clone_url: https://example.com/a.git}, routes: [{path: /api}]}
static_sites:
- {name: site, git: {repo_clone_url: https://example.com/a.git}}
";
        let destinations = Destinations {
            files: [("site".into(), "/files".into())].into(),
            ..Default::default()
        };
        let routes = vec!["/api -> api".to_owned(), "/ -> site".to_owned()];
        let expected = [
            ("shop.localhost".to_owned(), routes.clone()),
            ("shop.example.com".to_owned(), routes),
        ];
        assert_eq!(hosts(yaml, &destinations), expected);
    }
}

//! Which component answers which request: ingress rules, the components' own routes, and the default, as one ordered list.

use crate::model::{AppSpec, ComponentRef, Cors, IngressMatch, IngressRedirect, StringMatch};

/// Stands for the app's default host in a match.
pub const STARTER_DOMAIN: &str = "${STARTER_DOMAIN}";

/// One rule in force. The first of the list that matches wins.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRule {
    pub host: HostMatch,
    pub path: PathMatch,
    pub action: Action,
    pub cors: Option<Cors>,
}

/// Hosts are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatch {
    /// Every host of the app.
    Any,
    /// The host that the platform gave the app.
    Default,
    Exact(String),
    Prefix(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// Whole segments: `/api` matches `/api` and `/api/x`, not `/apix`. Never ends with `/`, save the root itself.
    Prefix(String),
    Exact(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Component {
        name: String,
        /// False: the matched prefix is cut off.
        preserve_path_prefix: bool,
        /// Replaces the matched prefix.
        rewrite: Option<String>,
    },
    Redirect(Redirect),
}

/// What is set replaces that part of the request's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `None`: as in the request.
    pub scheme: Option<String>,
    pub authority: Option<String>,
    pub port: Option<u16>,
    pub uri: Option<String>,
    pub code: u16,
}

impl ResolvedRule {
    pub fn component(&self) -> Option<&str> {
        match &self.action {
            Action::Component { name, .. } => Some(name),
            Action::Redirect(_) => None,
        }
    }
}

/// All rules: those of `ingress` as written, then the components' routes (longest first), then `/` for the first service or static site that has
/// none, when nothing else was said. Internal services get none.
pub fn resolve(spec: &AppSpec) -> Vec<ResolvedRule> {
    let mut rules = ingress_rules(spec);
    let mut routes = component_routes(spec);
    routes.sort_by_key(|rule| std::cmp::Reverse(path_text(&rule.path).len()));
    rules.extend(routes);
    if spec
        .ingress
        .as_ref()
        .is_none_or(|ingress| ingress.rules.is_empty())
    {
        let root_is_free = !rules.iter().any(|rule| path_text(&rule.path) == "/");
        rules.extend(
            default_component(spec)
                .filter(|_| root_is_free)
                .map(|component| route(component, "/", false)),
        );
    }
    rules
}

/// The rules that requests for one host meet, without those that an earlier one hides. In this list the longest matching path and the first
/// matching rule are the same one.
pub fn for_host<'a>(rules: &'a [ResolvedRule], host: &str, is_default_host: bool) -> Vec<&'a ResolvedRule> {
    let host = host.to_ascii_lowercase();
    let mut kept: Vec<&ResolvedRule> = Vec::new();
    for rule in rules
        .iter()
        .filter(|rule| rule.host.matches(&host, is_default_host))
    {
        if !kept.iter().any(|earlier| earlier.path.covers(&rule.path)) {
            kept.push(rule);
        }
    }
    kept
}

/// Places in the list of rules that no request ever reaches, each with the place of the earlier one that hides it.
pub(crate) fn hidden(rules: &[ResolvedRule]) -> Vec<(usize, usize)> {
    let hides = |earlier: &ResolvedRule, rule: &ResolvedRule| {
        (earlier.host == HostMatch::Any || earlier.host == rule.host) && earlier.path.covers(&rule.path)
    };
    let first_above = |index: usize| (0..index).find(|earlier| hides(&rules[*earlier], &rules[index]));
    (0..rules.len())
        .filter_map(|index| Some((index, first_above(index)?)))
        .collect()
}

impl HostMatch {
    fn matches(&self, host: &str, is_default_host: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Default => is_default_host,
            Self::Exact(exact) => exact == host,
            Self::Prefix(prefix) => host.starts_with(prefix.as_str()),
        }
    }
}

impl PathMatch {
    /// True when every path that `other` matches is matched by this one too.
    fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Exact(_) => self == other,
            Self::Prefix(prefix) => {
                let below = path_text(other).strip_prefix(prefix.trim_end_matches('/'));
                below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
            }
        }
    }
}

/// The path prefix under which a component is reached first; `None` when it gets no requests.
pub fn public_route_path(spec: &AppSpec, component: &str) -> Option<String> {
    let rules = resolve(spec);
    let rule = rules.iter().find(|rule| rule.component() == Some(component))?;
    Some(path_text(&rule.path).to_owned())
}

/// Every match that is written in the spec, with the path of its field: equal ones hide each other.
pub(crate) fn written_matches(spec: &AppSpec) -> Vec<(String, String)> {
    let rules = spec
        .ingress
        .iter()
        .flat_map(|ingress| &ingress.rules)
        .enumerate()
        .map(|(index, rule)| {
            let path = format!("ingress.rules[{index}].match");
            let exact = matches!(path_of(rule.r#match.as_ref()), PathMatch::Exact(_));
            (
                path,
                match_text(rule.r#match.as_ref()) + if exact { " (exact)" } else { "" },
            )
        });
    let routes = spec.components_with_paths().flat_map(|(path, component)| {
        let written = component.routes().iter().enumerate();
        written
            .map(|(index, route)| {
                (
                    format!("{path}.routes[{index}].path"),
                    normal_prefix(route.path.as_deref().unwrap_or("/")),
                )
            })
            .collect::<Vec<_>>()
    });
    rules.chain(routes).collect()
}

fn ingress_rules(spec: &AppSpec) -> Vec<ResolvedRule> {
    let rules = spec.ingress.iter().flat_map(|ingress| &ingress.rules);
    rules
        .filter_map(|rule| {
            let action = match (&rule.component, &rule.redirect) {
                (Some(component), _) => Action::Component {
                    name: component.name.clone(),
                    preserve_path_prefix: component.preserve_path_prefix,
                    rewrite: component.rewrite.clone(),
                },
                (None, Some(redirect)) => Action::Redirect(resolved_redirect(redirect)),
                (None, None) => return None,
            };
            let matching = rule.r#match.as_ref();
            Some(ResolvedRule {
                host: host_of(matching),
                path: path_of(matching),
                action,
                cors: rule.cors.clone(),
            })
        })
        .collect()
}

fn component_routes(spec: &AppSpec) -> Vec<ResolvedRule> {
    let of_component = |component: ComponentRef<'_>| {
        let routes = component.routes().iter();
        routes
            .map(|written| {
                route(
                    component,
                    written.path.as_deref().unwrap_or("/"),
                    written.preserve_path_prefix,
                )
            })
            .collect::<Vec<_>>()
    };
    spec.components().flat_map(of_component).collect()
}

fn route(component: ComponentRef<'_>, prefix: &str, preserve_path_prefix: bool) -> ResolvedRule {
    ResolvedRule {
        host: HostMatch::Any,
        path: PathMatch::Prefix(normal_prefix(prefix)),
        action: Action::Component {
            name: component.name().to_owned(),
            preserve_path_prefix,
            rewrite: None,
        },
        cors: component.cors().cloned(),
    }
}

fn default_component(spec: &AppSpec) -> Option<ComponentRef<'_>> {
    spec.components().find(|component| {
        component.routes().is_empty()
            && match component {
                ComponentRef::Service(service) => !service.is_internal_only(),
                ComponentRef::StaticSite(_) | ComponentRef::Functions(_) => true,
                ComponentRef::Worker(_) | ComponentRef::Job(_) | ComponentRef::Database(_) => false,
            }
    })
}

fn host_of(matching: Option<&IngressMatch>) -> HostMatch {
    match matching.and_then(|matching| matching.authority.as_ref()) {
        Some(StringMatch {
            exact: Some(host), ..
        }) if host == STARTER_DOMAIN => HostMatch::Default,
        Some(StringMatch {
            exact: Some(host), ..
        }) => HostMatch::Exact(host.to_ascii_lowercase()),
        Some(StringMatch {
            prefix: Some(prefix), ..
        }) if !prefix.is_empty() => HostMatch::Prefix(prefix.to_ascii_lowercase()),
        _ => HostMatch::Any,
    }
}

fn path_of(matching: Option<&IngressMatch>) -> PathMatch {
    match matching.and_then(|matching| matching.path.as_ref()) {
        Some(StringMatch {
            exact: Some(path), ..
        }) => PathMatch::Exact(path.clone()),
        Some(StringMatch {
            prefix: Some(prefix), ..
        }) => PathMatch::Prefix(normal_prefix(prefix)),
        _ => PathMatch::Prefix("/".into()),
    }
}

fn match_text(matching: Option<&IngressMatch>) -> String {
    let host = match host_of(matching) {
        HostMatch::Any => String::new(),
        HostMatch::Default => STARTER_DOMAIN.into(),
        HostMatch::Exact(host) => host,
        HostMatch::Prefix(prefix) => format!("{prefix}*"),
    };
    host + path_text(&path_of(matching))
}

fn path_text(path: &PathMatch) -> &str {
    match path {
        PathMatch::Prefix(path) | PathMatch::Exact(path) => path,
    }
}

fn normal_prefix(prefix: &str) -> String {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    }
}

fn resolved_redirect(redirect: &IngressRedirect) -> Redirect {
    Redirect {
        scheme: redirect.scheme.clone(),
        authority: redirect.authority.clone(),
        port: redirect.port,
        uri: redirect.uri.clone(),
        code: redirect
            .redirect_code
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(302),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, parse};

    fn rules(yaml: &str) -> Vec<String> {
        let spec = parse(yaml, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec;
        let line = |rule: ResolvedRule| {
            format!(
                "{:?} {} -> {}",
                rule.host,
                path_text(&rule.path),
                rule.component().unwrap_or("redirect")
            )
        };
        resolve(&spec).into_iter().map(line).collect()
    }

    const SOURCE: &str = "git: {repo_clone_url: https://example.com/a.git}";

    #[test]
    fn the_first_component_without_routes_gets_the_root() {
        let yaml = format!(
            "name: shop\nservices:\n- {{name: inner, {SOURCE}, internal_ports: [9000]}}\n- {{name: web, {SOURCE}}}\n- {{name: other, {SOURCE}}}"
        );
        assert_eq!(rules(&yaml), ["Any / -> web"]);
    }

    #[test]
    fn longer_routes_come_first_whatever_their_component() {
        let yaml = format!(
            "name: shop\nservices:\n- {{name: api, {SOURCE}, routes: [{{path: /api}}, {{path: /api/v2/}}]}}\nstatic_sites:\n- {{name: front, {SOURCE}}}"
        );
        assert_eq!(
            rules(&yaml),
            ["Any /api/v2 -> api", "Any /api -> api", "Any / -> front"]
        );
    }

    #[test]
    fn ingress_rules_keep_their_order_and_leave_no_default() {
        let yaml = format!(
            "name: shop\nservices:\n- {{name: web, {SOURCE}}}\ningress:\n  rules:\n  - match: {{path: {{prefix: /a}}, authority: {{exact: WWW.example.com}}}}\n    component: {{name: web}}\n  - match: {{authority: {{exact: '${{STARTER_DOMAIN}}'}}}}\n    redirect: {{authority: www.example.com}}\n"
        );
        assert_eq!(
            rules(&yaml),
            ["Exact(\"www.example.com\") /a -> web", "Default / -> redirect"]
        );
    }

    #[test]
    fn a_hosts_rules_leave_out_what_is_never_reached() {
        let rule = |host: &HostMatch, prefix: &str| ResolvedRule {
            host: host.clone(),
            path: PathMatch::Prefix(prefix.into()),
            action: Action::Component {
                name: prefix.into(),
                preserve_path_prefix: true,
                rewrite: None,
            },
            cors: None,
        };
        let www = HostMatch::Exact("www.example.com".into());
        let rules = [
            rule(&HostMatch::Any, "/a/b"),
            rule(&www, "/a"),
            rule(&HostMatch::Any, "/a/c"),
            rule(&HostMatch::Default, "/"),
            rule(&HostMatch::Any, "/ab"),
        ];
        let paths = |host: &str, default| -> Vec<String> {
            for_host(&rules, host, default)
                .into_iter()
                .map(|rule| path_text(&rule.path).to_owned())
                .collect()
        };
        assert_eq!(paths("WWW.example.com", false), ["/a/b", "/a", "/ab"]);
        assert_eq!(paths("shop.localhost", true), ["/a/b", "/a/c", "/"]);
        assert_eq!(hidden(&rules), []);
        assert_eq!(hidden(&[rule(&HostMatch::Any, "/"), rule(&www, "/x")]), [(1, 0)]);
    }

    #[test]
    fn an_internal_service_alone_gets_no_route() {
        let yaml = format!("name: shop\nservices:\n- {{name: inner, {SOURCE}, internal_ports: [9000]}}");
        assert!(rules(&yaml).is_empty());
    }
}

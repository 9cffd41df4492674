//! One host's routes, ready to be matched.

use std::sync::Arc;

use super::{
    endpoint::{Endpoint, Endpoints},
    traffic::AppTraffic,
};
use crate::{
    snapshot::{self, Protocol, Unavailable},
    static_site::StaticSite,
};

#[derive(Debug)]
pub struct HostRoutes {
    /// What this was built from: a host that did not change keeps its routes over a new snapshot.
    pub source: snapshot::Host,
    /// The app's count of what its visitors are sent.
    pub traffic: Arc<AppTraffic>,
    /// Longest prefix first, exact before prefix.
    routes: Vec<Route>,
}

#[derive(Debug)]
pub struct Route {
    segments: Vec<String>,
    exact: Option<String>,
    change: PathChange,
    pub component: String,
    pub target: Target,
}

/// What happens to the matched prefix.
#[derive(Debug)]
enum PathChange {
    Keep,
    Cut,
    Replace(String),
}

#[derive(Debug)]
pub enum Target {
    Service(Service),
    Static(StaticSite),
    Redirect(Redirect),
}

#[derive(Debug)]
pub struct Service {
    pub endpoints: Vec<Arc<Endpoint>>,
    pub protocol: Protocol,
    pub unavailable: Unavailable,
}

#[derive(Debug)]
pub struct Redirect {
    pub scheme: Option<String>,
    pub authority: Option<String>,
    pub port: Option<u16>,
    pub path: Option<String>,
    pub status: u16,
}

/// A route that matched a path.
#[derive(Debug, Clone, Copy)]
pub struct Found<'t> {
    pub route: &'t Route,
    /// Where the part of the path behind the matched prefix begins.
    rest: usize,
}

impl HostRoutes {
    pub fn new(source: snapshot::Host, endpoints: &Endpoints) -> Self {
        let mut routes: Vec<Route> = source
            .routes
            .iter()
            .map(|route| Route::new(route, endpoints))
            .collect();
        routes.sort_by_key(|route| (std::cmp::Reverse(route.segments.len()), route.exact.is_none()));
        let traffic = endpoints.traffic.of(&source.app);
        Self {
            source,
            traffic,
            routes,
        }
    }

    /// The route for a normalised path.
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        self.routes.iter().find_map(|route| {
            Some(Found {
                route,
                rest: route.matches(path)?,
            })
        })
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.routes
            .iter()
            .filter_map(Route::service)
            .flat_map(|service| &service.endpoints)
    }
}

impl Route {
    fn new(route: &snapshot::Route, endpoints: &Endpoints) -> Self {
        let change = match &route.rewrite {
            Some(prefix) => PathChange::Replace(prefix.trim_end_matches('/').to_owned()),
            None if route.preserve_path_prefix => PathChange::Keep,
            None => PathChange::Cut,
        };
        let target = match &route.target {
            snapshot::Target::Service {
                endpoints: instances,
                protocol,
                unavailable,
            } => Target::Service(Service {
                endpoints: instances.iter().map(|instance| endpoints.get(instance)).collect(),
                protocol: *protocol,
                unavailable: unavailable.clone(),
            }),
            snapshot::Target::Static {
                root,
                index_document,
                error_document,
                catchall_document,
            } => Target::Static(StaticSite::new(
                root,
                index_document,
                error_document.as_deref(),
                catchall_document.as_deref(),
            )),
            snapshot::Target::Redirect {
                scheme,
                authority,
                port,
                path,
                status,
            } => Target::Redirect(Redirect {
                scheme: scheme.clone(),
                authority: authority.clone(),
                port: *port,
                path: path.clone(),
                status: *status,
            }),
        };
        Self {
            segments: segments(&route.path_prefix).map(str::to_owned).collect(),
            exact: route.exact.then(|| route.path_prefix.clone()),
            change,
            component: route.component.clone(),
            target,
        }
    }

    pub fn service(&self) -> Option<&Service> {
        match &self.target {
            Target::Service(service) => Some(service),
            _ => None,
        }
    }

    /// Whole segments only; repeated slashes in the path count as one, so that `//admin` does not get around `/admin`.
    fn matches(&self, path: &str) -> Option<usize> {
        if let Some(exact) = &self.exact {
            return (path == exact).then_some(path.len());
        }
        let mut at = 0;
        for segment in &self.segments {
            at += path[at..].len() - path[at..].trim_start_matches('/').len();
            at = path[at..]
                .strip_prefix(segment.as_str())
                .map(|rest| path.len() - rest.len())?;
            if !matches!(path.as_bytes().get(at), None | Some(b'/')) {
                return None;
            }
        }
        Some(at)
    }
}

impl Found<'_> {
    /// The path to pass on, or `None` for the path as it came.
    pub fn rewritten(&self, path: &str) -> Option<String> {
        let rest = &path[self.rest..];
        let changed = match &self.route.change {
            PathChange::Keep => return None,
            PathChange::Cut => rest.to_owned(),
            PathChange::Replace(prefix) => format!("{prefix}{rest}"),
        };
        match changed.as_str() {
            "" => Some("/".to_owned()),
            same if same == path => None,
            _ => Some(changed),
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path_prefix: &str) -> snapshot::Route {
        snapshot::Route {
            path_prefix: path_prefix.into(),
            exact: false,
            component: path_prefix.into(),
            preserve_path_prefix: false,
            rewrite: None,
            target: snapshot::Target::Redirect {
                scheme: None,
                authority: None,
                port: None,
                path: None,
                status: 302,
            },
        }
    }

    fn host(routes: Vec<snapshot::Route>) -> HostRoutes {
        HostRoutes::new(
            snapshot::Host {
                app: "shop".into(),
                routes,
            },
            &Endpoints::default(),
        )
    }

    #[test]
    fn the_longest_whole_segment_prefix_wins() {
        let exact = snapshot::Route {
            exact: true,
            component: "exact".into(),
            ..route("/api")
        };
        let host = host(vec![route("/"), route("/api"), exact, route("/api/v2/")]);
        let cases = [
            ("/", "/"),
            ("/apix", "/"),
            ("/api", "exact"),
            ("/api/", "/api"),
            ("/api/v1", "/api"),
            ("/api/v2", "/api/v2/"),
            ("/api/v2/x", "/api/v2/"),
            ("/api/v22", "/api"),
            ("/x//api", "/"),
            ("/api//v2/x", "/api/v2/"),
        ];
        for (path, component) in cases {
            assert_eq!(host.find(path).unwrap().route.component, component, "{path}");
        }
    }

    #[test]
    fn nothing_matches_without_a_root_route() {
        assert!(host(vec![route("/api")]).find("/other").is_none());
    }

    #[test]
    fn prefixes_are_kept_cut_or_replaced() {
        let kept = snapshot::Route {
            preserve_path_prefix: true,
            ..route("/kept")
        };
        let replaced = snapshot::Route {
            rewrite: Some("/v1/".into()),
            ..route("/replaced")
        };
        let host = host(vec![route("/"), route("/cut"), kept, replaced]);
        let cases = [
            ("/x", None),
            ("/cut", Some("/")),
            ("/cut/", Some("/")),
            ("/cut/a/b", Some("/a/b")),
            ("/kept/a", None),
            ("/replaced", Some("/v1")),
            ("/replaced/a", Some("/v1/a")),
        ];
        for (path, passed_on) in cases {
            assert_eq!(
                host.find(path).unwrap().rewritten(path).as_deref(),
                passed_on,
                "{path}"
            );
        }
    }
}

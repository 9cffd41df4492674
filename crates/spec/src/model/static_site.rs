//! Static sites: files served by the router, without any instance.

use super::{Cors, GitSource, RepositorySource, Route, Variable};
use crate::decode::object;

object! {
    /// A component whose build's files are served as they are.
    "a static site": pub struct StaticSite {
        pub name: String,
        pub git: Option<GitSource>,
        pub github: Option<RepositorySource>,
        pub gitlab: Option<RepositorySource>,
        pub bitbucket: Option<RepositorySource>,
        /// Relative to the repository's root.
        pub source_dir: Option<String>,
        /// Relative to the repository's root, not to `source_dir`.
        pub dockerfile_path: Option<String>,
        pub build_command: Option<String>,
        pub environment_slug: Option<String>,
        pub envs: Vec<Variable>,
        /// Relative to the build's context; for Dockerfile builds an absolute path in the image. Unset: the first of `_static`, `dist`,
        /// `public`, `build` that exists.
        pub output_dir: Option<String>,
        pub index_document: Option<String>,
        /// Answers missing paths with 404; excludes `catchall_document`.
        pub error_document: Option<String>,
        /// Answers missing paths with 200.
        pub catchall_document: Option<String>,
        /// Older form of ingress rules.
        pub routes: Vec<Route>,
        /// Older form of an ingress rule's `cors`.
        pub cors: Option<Cors>,
    }
}

impl StaticSite {
    pub fn index_document(&self) -> &str {
        self.index_document.as_deref().unwrap_or("index.html")
    }

    /// What answers a missing path with 404; `None` when `catchall_document` does.
    pub fn error_document(&self) -> Option<&str> {
        match (&self.error_document, &self.catchall_document) {
            (Some(document), _) => Some(document),
            (None, None) => Some("404.html"),
            (None, Some(_)) => None,
        }
    }
}

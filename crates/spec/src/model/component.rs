//! Components whatever their kind, and the two kinds that this version only knows by name.

use super::{
    Alert, Cors, GitSource, Job, LogDestination, RepositorySource, Route, Service, Source, StaticSite,
    Variable, Worker,
};
use crate::{
    decode::{choice, object},
    kind::ComponentKind,
    sizes::InstanceSize,
};

object! {
    /// Serverless functions.
    "a functions component": pub struct Functions {
        pub name: String,
        pub git: Option<GitSource>,
        pub github: Option<RepositorySource>,
        pub gitlab: Option<RepositorySource>,
        pub bitbucket: Option<RepositorySource>,
        /// Relative to the repository's root.
        pub source_dir: Option<String>,
        pub envs: Vec<Variable>,
        pub routes: Vec<Route>,
        pub cors: Option<Cors>,
        pub alerts: Vec<Alert>,
        pub log_destinations: Vec<LogDestination>,
    }
}

object! {
    /// A database of the app's own or an attached one.
    "a database": pub struct Database {
        pub name: String,
        pub engine: Option<DatabaseEngine>,
        pub version: Option<String>,
        /// True: an existing managed cluster, named by `cluster_name`.
        pub production: bool,
        pub cluster_name: Option<String>,
        pub db_name: Option<String>,
        pub db_user: Option<String>,
        /// Deprecated.
        pub size: Option<String>,
        /// Deprecated.
        pub num_nodes: Option<u32>,
    }
}

choice! {
    pub enum DatabaseEngine {
        Unset = "UNSET",
        Mysql = "MYSQL",
        Pg = "PG",
        Redis = "REDIS",
        Mongodb = "MONGODB",
        Kafka = "KAFKA",
        Opensearch = "OPENSEARCH",
        Valkey = "VALKEY",
    }
}

/// A component of any kind. Fields that a kind does not have read as not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ComponentRef<'a> {
    Service(&'a Service),
    Worker(&'a Worker),
    Job(&'a Job),
    StaticSite(&'a StaticSite),
    Functions(&'a Functions),
    Database(&'a Database),
}

/// Reads a field of the kinds that have it.
macro_rules! of_kinds {
    ($self:ident, [$($kind:ident)+], $component:ident => $value:expr) => {
        match $self {
            $(Self::$kind($component) => $value,)+
            #[allow(unreachable_patterns, reason = "some fields exist on every kind")]
            _ => Default::default(),
        }
    };
}

impl<'a> ComponentRef<'a> {
    pub fn kind(self) -> ComponentKind {
        match self {
            Self::Service(_) => ComponentKind::Service,
            Self::Worker(_) => ComponentKind::Worker,
            Self::Job(_) => ComponentKind::Job,
            Self::StaticSite(_) => ComponentKind::StaticSite,
            Self::Functions(_) => ComponentKind::Functions,
            Self::Database(_) => ComponentKind::Database,
        }
    }

    pub fn name(self) -> &'a str {
        of_kinds!(self, [Service Worker Job StaticSite Functions Database], c => c.name.as_str())
    }

    /// All sources that are given; a valid component has exactly one, a database none.
    pub fn sources(self) -> Vec<Source<'a>> {
        let mut sources = of_kinds!(self, [Service Worker Job StaticSite Functions], c => vec![
            c.git.as_ref().map(Source::Git),
            c.github.as_ref().map(Source::GitHub),
            c.gitlab.as_ref().map(Source::GitLab),
            c.bitbucket.as_ref().map(Source::Bitbucket),
        ]);
        sources.push(of_kinds!(self, [Service Worker Job], c => c.image.as_ref().map(Source::Image)));
        sources.into_iter().flatten().collect()
    }

    pub fn source(self) -> Option<Source<'a>> {
        self.sources().first().copied()
    }

    /// Relative to the repository's root, without slashes at the ends; empty for the root itself.
    pub fn source_dir(self) -> &'a str {
        let written: Option<&str> =
            of_kinds!(self, [Service Worker Job StaticSite Functions], c => c.source_dir.as_deref());
        written
            .unwrap_or_default()
            .trim_start_matches("./")
            .trim_matches('/')
    }

    pub fn dockerfile_path(self) -> Option<&'a str> {
        of_kinds!(self, [Service Worker Job StaticSite], c => c.dockerfile_path.as_deref())
    }

    pub fn build_command(self) -> Option<&'a str> {
        of_kinds!(self, [Service Worker Job StaticSite], c => c.build_command.as_deref())
    }

    pub fn run_command(self) -> Option<&'a str> {
        of_kinds!(self, [Service Worker Job], c => c.run_command.as_deref())
    }

    pub fn environment_slug(self) -> Option<&'a str> {
        of_kinds!(self, [Service Worker Job StaticSite], c => c.environment_slug.as_deref())
    }

    pub fn output_dir(self) -> Option<&'a str> {
        of_kinds!(self, [StaticSite], c => c.output_dir.as_deref())
    }

    pub fn variables(self) -> &'a [Variable] {
        of_kinds!(self, [Service Worker Job StaticSite Functions], c => c.envs.as_slice())
    }

    pub fn alerts(self) -> &'a [Alert] {
        of_kinds!(self, [Service Worker Job Functions], c => c.alerts.as_slice())
    }

    pub fn log_destinations(self) -> &'a [LogDestination] {
        of_kinds!(self, [Service Worker Job Functions], c => c.log_destinations.as_slice())
    }

    pub fn routes(self) -> &'a [Route] {
        of_kinds!(self, [Service StaticSite Functions], c => c.routes.as_slice())
    }

    pub fn cors(self) -> Option<&'a Cors> {
        of_kinds!(self, [Service StaticSite Functions], c => c.cors.as_ref())
    }

    pub fn instance_size_slug(self) -> Option<&'a str> {
        of_kinds!(self, [Service Worker Job], c => c.instance_size_slug.as_deref())
    }

    /// The size in force; the default one when none or an unknown one is given.
    pub fn instance_size(self) -> &'static InstanceSize {
        self.instance_size_slug()
            .and_then(InstanceSize::by_slug)
            .unwrap_or(InstanceSize::default_size())
    }

    /// As written; see [`Self::instance_count`].
    pub(crate) fn written_instance_count(self) -> Option<u32> {
        of_kinds!(self, [Service Worker Job], c => c.instance_count)
    }

    /// Instances to run: 1 unless given; 0 for kinds without instances.
    pub fn instance_count(self) -> u32 {
        match self {
            Self::Service(_) | Self::Worker(_) | Self::Job(_) => self.written_instance_count().unwrap_or(1),
            Self::StaticSite(_) | Self::Functions(_) | Self::Database(_) => 0,
        }
    }
}

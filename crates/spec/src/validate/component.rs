//! Rules about one component.

use super::{Findings, app, cron, format, health_check, observing, scaling, source, variable};
use crate::{
    duration,
    error::{Problem, SpecError},
    model::{ComponentRef, Database, DatabaseEngine, Job, JobKind, Service, StaticSite, Worker},
    parse::Sources,
};

/// The buildpacks that can be asked for by name.
const ENVIRONMENT_SLUGS: [&str; 13] = [
    "node-js",
    "bun",
    "python",
    "go",
    "php",
    "ruby",
    "ruby-on-rails",
    "hugo",
    "hexo",
    "html",
    "jekyll",
    "gatsby",
    "docker",
];

pub(super) fn check(component: ComponentRef<'_>, at: &str, sources: Sources, findings: &mut Findings) {
    app::name(&format!("{at}.name"), component.name(), findings);
    source::check(component, at, sources, findings);
    building(component, at, findings);
    variable::check(component.variables(), &format!("{at}.envs"), findings);
    scaling::size_and_count(component, at, findings);
    observing::component_alerts(component, at, findings);
    observing::log_destinations(component.log_destinations(), at, findings);
    match component {
        ComponentRef::Service(service) => self::service(service, at, findings),
        ComponentRef::Worker(worker) => self::worker(worker, at, findings),
        ComponentRef::Job(job) => self::job(job, at, findings),
        ComponentRef::StaticSite(site) => static_site(site, at, findings),
        ComponentRef::Database(database) => self::database(database, at, findings),
        ComponentRef::Functions(_) => {}
    }
}

fn building(component: ComponentRef<'_>, at: &str, findings: &mut Findings) {
    if let Some(slug) = component.environment_slug()
        && !ENVIRONMENT_SLUGS.contains(&slug)
    {
        let rule = format!("must be one of {}", ENVIRONMENT_SLUGS[..12].join(", "));
        let mut error =
            SpecError::new(format!("{at}.environment_slug"), Problem::UnknownValue, rule).value(slug);
        let meant = crate::decode::closest(slug, &ENVIRONMENT_SLUGS);
        error.suggestion = meant.map(|word| format!("did you mean `{word}`?"));
        findings.add(error);
    }
    if component.dockerfile_path().is_some() {
        let others = [
            ("build_command", component.build_command().is_some()),
            (
                "environment_slug",
                component.environment_slug().is_some_and(|slug| slug != "docker"),
            ),
        ];
        for (field, _) in others.into_iter().filter(|(_, given)| *given) {
            let rule = "excludes `dockerfile_path`: a Dockerfile says itself how to build";
            findings.conflict(format!("{at}.{field}"), rule);
        }
    }
}

fn service(service: &Service, at: &str, findings: &mut Findings) {
    findings.port(format!("{at}.http_port"), service.http_port);
    for (index, port) in service.internal_ports.iter().enumerate() {
        findings.port(format!("{at}.internal_ports[{index}]"), Some(*port));
    }
    let ports = service.internal_ports.iter().enumerate();
    let ports = ports.map(|(index, port)| (format!("{at}.internal_ports[{index}]"), *port));
    findings.unique(ports, "the port is given twice");
    health_check::of_service(service, at, findings);
    scaling::autoscaling(
        ComponentRef::Service(service),
        service.autoscaling.as_ref(),
        at,
        findings,
    );
    scaling::termination(service.termination.as_ref(), true, at, findings);
    if let Some(sleep) = &service.inactivity_sleep {
        findings.range(
            format!("{at}.inactivity_sleep.after_seconds"),
            sleep.after_seconds,
            600..=86_400,
        );
    }
}

fn worker(worker: &Worker, at: &str, findings: &mut Findings) {
    health_check::of_worker(worker, at, findings);
    scaling::autoscaling(
        ComponentRef::Worker(worker),
        worker.autoscaling.as_ref(),
        at,
        findings,
    );
    scaling::termination(worker.termination.as_ref(), false, at, findings);
}

fn job(job: &Job, at: &str, findings: &mut Findings) {
    scaling::termination(job.termination.as_ref(), false, at, findings);
    if let Some(timeout) = &job.timeout {
        let is_duration = |text: &str| duration::parse(text).is_some_and(|timeout| !timeout.is_zero());
        findings.shape(
            format!("{at}.timeout"),
            timeout,
            is_duration,
            "must be a duration such as 1h30m",
        );
    }
    match (&job.schedule, job.kind()) {
        (Some(schedule), JobKind::Scheduled) => {
            cron::check(schedule, &format!("{at}.schedule"), findings);
        }
        (None, JobKind::Scheduled) => findings.add(SpecError::new(
            format!("{at}.schedule"),
            Problem::Required,
            "is required for a SCHEDULED job",
        )),
        (Some(_), _) => findings.conflict(
            format!("{at}.schedule"),
            "only jobs of kind SCHEDULED have a schedule",
        ),
        (None, _) => {}
    }
}

fn static_site(site: &StaticSite, at: &str, findings: &mut Findings) {
    if site.error_document.is_some() && site.catchall_document.is_some() {
        let rule = "excludes `error_document`: either one answers missing paths";
        findings.conflict(format!("{at}.catchall_document"), rule);
    }
    let documents = [
        ("index_document", &site.index_document),
        ("error_document", &site.error_document),
        ("catchall_document", &site.catchall_document),
    ];
    for (field, document) in documents {
        let document = document.as_deref().unwrap_or_default();
        findings.shape(
            format!("{at}.{field}"),
            document,
            format::is_inner_path,
            "must be a path without `..`",
        );
    }
    let Some(output_dir) = &site.output_dir else {
        return;
    };
    let path = format!("{at}.output_dir");
    findings.shape(
        &path,
        output_dir,
        format::is_inner_path,
        "must be a path without `..`",
    );
    if site.dockerfile_path.is_some() {
        let is_absolute = |text: &str| text.starts_with('/') && !text.trim_matches('/').is_empty();
        findings.shape(
            &path,
            output_dir,
            is_absolute,
            "of a Dockerfile build must be an absolute path, not `/` itself",
        );
    }
}

fn database(database: &Database, at: &str, findings: &mut Findings) {
    if database.production && database.cluster_name.is_none() {
        let rule = "is required for a production database: it names the cluster";
        findings.add(SpecError::new(
            format!("{at}.cluster_name"),
            Problem::Required,
            rule,
        ));
    }
    for (field, name) in [("db_name", &database.db_name), ("db_user", &database.db_user)] {
        if let Some(name) = name {
            identifier(name, &format!("{at}.{field}"), findings);
        }
    }
    if !database.production {
        names_inside(database, at, findings);
    }
}

/// What the server that the platform runs would not take.
fn names_inside(database: &Database, at: &str, findings: &mut Findings) {
    let mut refuse = |field: &str, value: &str, rule: &str| {
        findings.add(SpecError::new(format!("{at}.{field}"), Problem::UnknownValue, rule).value(value));
    };
    let name = database.db_name.as_ref().unwrap_or(&database.name).as_str();
    let user = database.db_user.as_ref().unwrap_or(&database.name).as_str();
    match database.engine.unwrap_or(DatabaseEngine::Unset) {
        DatabaseEngine::Unset | DatabaseEngine::Pg => {
            if user == "postgres" || user.starts_with("pg_") {
                refuse("db_user", user, "is a name that PostgreSQL keeps for itself");
            }
            // There before the app's own is made, and not the app's.
            if matches!(name, "postgres" | "template0" | "template1") {
                let rule = "is a database that every PostgreSQL server has for itself; choose another name";
                refuse("db_name", name, rule);
            }
        }
        DatabaseEngine::Mysql => {
            if matches!(user, "root" | "mainstay" | "mysql" | "mariadb.sys")
                || user.eq_ignore_ascii_case("public")
            {
                refuse("db_user", user, "is a name that the server keeps for itself");
            }
            if matches!(
                name,
                "mysql" | "information_schema" | "performance_schema" | "sys"
            ) {
                let rule = "is a database that every MySQL server has for itself; choose another name";
                refuse("db_name", name, rule);
            }
        }
        DatabaseEngine::Redis | DatabaseEngine::Valkey => {
            if let Some(number) = database.db_name.as_deref()
                && !number
                    .parse::<u8>()
                    .is_ok_and(|parsed| parsed < 16 && parsed.to_string() == number)
            {
                refuse("db_name", number, "of Redis must be a number from 0 to 15");
            }
            if let Some(user) = database.db_user.as_deref()
                && (user == "mainstay"
                    || !user
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && !b"\"'#".contains(&byte)))
            {
                refuse(
                    "db_user",
                    user,
                    "of Redis must be letters, digits and signs without quotes, and not `mainstay`",
                );
            }
        }
        _ => {}
    }
}

/// Names of databases and roles: NAMEDATALEN of PostgreSQL is 64 bytes, its end included.
fn identifier(name: &str, at: &str, findings: &mut Findings) {
    const BYTES_MAX: usize = 63;
    if name.is_empty() || name.len() > BYTES_MAX || name.contains(char::is_control) {
        let rule = format!("must have 1 to {BYTES_MAX} bytes and no control characters");
        findings.add(SpecError::new(at, Problem::Malformed, rule).value(name));
    }
}

//! Rules about where a component comes from.

use super::{Findings, format};
use crate::{
    error::{Problem, SpecError},
    model::{ComponentRef, GitSource, ImageSource, RegistryType, RepositorySource, Sensitive, Source},
    parse::Sources,
};

pub(super) fn check(component: ComponentRef<'_>, at: &str, required: Sources, findings: &mut Findings) {
    if let ComponentRef::Database(_) = component {
        return;
    }
    let sources = component.sources();
    let allowed = match component {
        ComponentRef::Service(_) | ComponentRef::Worker(_) | ComponentRef::Job(_) => {
            "git, github, gitlab, bitbucket, image"
        }
        _ => "git, github, gitlab, bitbucket",
    };
    if sources.is_empty() && required == Sources::Required {
        findings.add(SpecError::new(
            at,
            Problem::Required,
            format!("needs a source: one of {allowed}"),
        ));
    }
    for extra in sources.iter().skip(1) {
        let first = field(sources[0]);
        findings.conflict(
            format!("{at}.{}", field(*extra)),
            format!("a component has one source, and `{first}` is given"),
        );
    }
    for source in sources {
        one_source(source, &format!("{at}.{}", field(source)), findings);
    }
    paths(component, at, findings);
}

fn field(source: Source<'_>) -> &'static str {
    match source {
        Source::Git(_) => "git",
        Source::GitHub(_) => "github",
        Source::GitLab(_) => "gitlab",
        Source::Bitbucket(_) => "bitbucket",
        Source::Image(_) => "image",
    }
}

fn paths(component: ComponentRef<'_>, at: &str, findings: &mut Findings) {
    let inside = "must be a path inside the repository, without `..`";
    findings.shape(
        format!("{at}.source_dir"),
        component.source_dir(),
        format::is_inner_path,
        inside,
    );
    let dockerfile = component.dockerfile_path().unwrap_or_default();
    findings.shape(
        format!("{at}.dockerfile_path"),
        dockerfile,
        format::is_inner_path,
        inside,
    );
}

fn one_source(source: Source<'_>, at: &str, findings: &mut Findings) {
    let branch = source.branch().unwrap_or_default();
    findings.shape(
        format!("{at}.branch"),
        branch,
        format::is_branch,
        "must be the name of a branch",
    );
    match source {
        Source::Git(git) => clone_url(git, at, findings),
        Source::GitHub(hosted) | Source::Bitbucket(hosted) => {
            let test = |repo: &str| is_repository(repo, 2..=2);
            repository(hosted, test, "must be `owner/repository`", at, findings);
        }
        Source::GitLab(hosted) => {
            let test = |repo: &str| is_repository(repo, 2..=20);
            repository(
                hosted,
                test,
                "must be `group/project`, with any subgroups in between",
                at,
                findings,
            );
        }
        Source::Image(image) => self::image(image, at, findings),
    }
}

fn clone_url(git: &GitSource, at: &str, findings: &mut Findings) {
    let path = format!("{at}.repo_clone_url");
    findings.required(&path, &git.repo_clone_url);
    let rule = "must be an http, https, ssh or git URL, `user@host:path`, or an absolute path, of at most 255 characters";
    let test = |url: &str| url.len() <= 255 && format::is_clone_url(url);
    findings.shape(path, &git.repo_clone_url, test, rule);
}

fn repository(
    hosted: &RepositorySource,
    test: impl Fn(&str) -> bool,
    rule: &str,
    at: &str,
    findings: &mut Findings,
) {
    let path = format!("{at}.repo");
    findings.required(&path, &hosted.repo);
    if hosted.repo.is_empty() || test(&hosted.repo) {
        return;
    }
    let mut error = SpecError::new(path, Problem::Malformed, rule).value(&hosted.repo);
    error.suggestion = repository_in_url(&hosted.repo)
        .filter(|repo| test(repo))
        .map(|repo| format!("use `{repo}`"));
    findings.add(error);
}

fn is_repository(repo: &str, parts: std::ops::RangeInclusive<usize>) -> bool {
    let part_is_fine = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part != ".."
            && part != "."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    parts.contains(&repo.split('/').count()) && repo.split('/').all(part_is_fine)
}

/// `owner/name` of a pasted URL.
fn repository_in_url(url: &str) -> Option<&str> {
    let (_, path) = url.split_once("://")?.1.split_once('/')?;
    Some(path.trim_end_matches('/').trim_end_matches(".git"))
}

fn image(image: &ImageSource, at: &str, findings: &mut Findings) {
    findings.required(format!("{at}.repository"), &image.repository);
    let is_path =
        |text: &str| text.len() <= 192 && format::is_printable(text) && !text.starts_with(['-', '/']);
    let rule = "must be a name of at most 192 characters without spaces";
    findings.shape(
        format!("{at}.repository"),
        &image.repository,
        |text| is_path(text) && !text.contains([':', '@']),
        rule,
    );
    findings.shape(
        format!("{at}.registry"),
        image.registry.as_deref().unwrap_or_default(),
        is_path,
        rule,
    );
    findings.shape(
        format!("{at}.tag"),
        image.tag.as_deref().unwrap_or_default(),
        is_tag,
        "must be an image tag",
    );
    let digest = image.digest.as_deref().unwrap_or_default();
    findings.shape(
        format!("{at}.digest"),
        digest,
        is_digest,
        "must be `sha256:` and 64 hexadecimal digits",
    );
    if image.tag.is_some() && image.digest.is_some() {
        findings.conflict(format!("{at}.digest"), "excludes `tag`");
    }
    registry(image, at, findings);
    let credentials = image
        .registry_credentials
        .as_ref()
        .map(Sensitive::reveal)
        .unwrap_or_default();
    let is_pair = |text: &str| {
        Sensitive::from(text).is_encrypted() || text.split_once(':').is_some_and(|(user, _)| !user.is_empty())
    };
    findings.shape(
        format!("{at}.registry_credentials"),
        credentials,
        is_pair,
        "must be `user:token`",
    );
}

fn registry(image: &ImageSource, at: &str, findings: &mut Findings) {
    let registry_type = image.registry_type.unwrap_or_default();
    let needs_registry = matches!(registry_type, RegistryType::DockerHub | RegistryType::Ghcr);
    if registry_type == RegistryType::Unspecified && !image.names_registry_host() {
        let rule = "must be one of DOCKER_HUB, DOCR, GHCR, unless `registry` names a host";
        findings.add(SpecError::new(
            format!("{at}.registry_type"),
            Problem::Required,
            rule,
        ));
    } else if needs_registry && image.registry.is_none() {
        let rule = format!("is required with {registry_type}");
        let mut error = SpecError::new(format!("{at}.registry"), Problem::Required, rule);
        if registry_type == RegistryType::DockerHub {
            error = error.suggestion("official images are in the registry `library`");
        }
        findings.add(error);
    }
    let pushes = image.deploy_on_push.as_ref().is_some_and(|push| push.enabled);
    if pushes && (image.digest.is_some() || registry_type != RegistryType::Docr) {
        findings.conflict(format!("{at}.deploy_on_push"), "needs a DOCR image with a tag");
    }
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64
        && hex
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

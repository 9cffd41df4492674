//! Where a component's code or image comes from.

use super::Sensitive;
use crate::decode::{choice, object};

object! {
    /// A git repository by its clone URL.
    "a git source": pub struct GitSource {
        pub repo_clone_url: String,
        pub branch: Option<String>,
    }
}

object! {
    /// A repository of a hosting service by its name.
    "a repository source": pub struct RepositorySource {
        /// `owner/name`; on GitLab with any number of groups in between.
        pub repo: String,
        pub branch: Option<String>,
        pub deploy_on_push: bool,
    }
}

object! {
    /// A prebuilt image in a registry.
    "an image source": pub struct ImageSource {
        pub registry_type: Option<RegistryType>,
        /// User, organisation or registry name. Mainstay also takes a registry's host: `registry.example.com:5000/team`.
        pub registry: Option<String>,
        pub repository: String,
        /// `latest` when neither tag nor digest is given.
        pub tag: Option<String>,
        pub digest: Option<String>,
        /// `user:token`.
        pub registry_credentials: Option<Sensitive>,
        pub deploy_on_push: Option<DeployOnPush>,
    }
}

object! {
    "a deploy_on_push": pub struct DeployOnPush {
        pub enabled: bool,
    }
}

choice! {
    pub enum RegistryType {
        Unspecified = "UNSPECIFIED",
        DockerHub = "DOCKER_HUB",
        Docr = "DOCR",
        Ghcr = "GHCR",
    }
}

/// A component's source, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source<'a> {
    Git(&'a GitSource),
    GitHub(&'a RepositorySource),
    GitLab(&'a RepositorySource),
    Bitbucket(&'a RepositorySource),
    Image(&'a ImageSource),
}

impl<'a> Source<'a> {
    /// What to clone; repositories of hosting services are taken as public. `None` for images.
    pub fn clone_url(&self) -> Option<String> {
        match self {
            Self::Git(git) => Some(git.repo_clone_url.clone()),
            Self::GitHub(hosted) => Some(format!("https://github.com/{}.git", hosted.repo)),
            Self::GitLab(hosted) => Some(format!("https://gitlab.com/{}.git", hosted.repo)),
            Self::Bitbucket(hosted) => Some(format!("https://bitbucket.org/{}.git", hosted.repo)),
            Self::Image(_) => None,
        }
    }

    /// `None`: the repository's own default branch.
    pub fn branch(&self) -> Option<&'a str> {
        match self {
            Self::Git(git) => git.branch.as_deref(),
            Self::GitHub(hosted) | Self::GitLab(hosted) | Self::Bitbucket(hosted) => hosted.branch.as_deref(),
            Self::Image(_) => None,
        }
    }

    pub fn deploy_on_push(&self) -> bool {
        match self {
            Self::Git(_) => false,
            Self::GitHub(hosted) | Self::GitLab(hosted) | Self::Bitbucket(hosted) => hosted.deploy_on_push,
            Self::Image(image) => image.deploy_on_push.as_ref().is_some_and(|push| push.enabled),
        }
    }
}

impl ImageSource {
    /// The full reference: `docker.io/library/nginx:latest`, `ghcr.io/team/web@sha256:…`.
    pub fn reference(&self) -> String {
        let version = match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("@{digest}"),
            (None, Some(tag)) => format!(":{tag}"),
            (None, None) => ":latest".to_owned(),
        };
        let parts = [
            self.host(),
            self.registry.as_deref(),
            Some(self.repository.as_str()),
        ];
        let path: Vec<&str> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        format!("{}{version}", path.join("/"))
    }

    /// User and token of [`Self::registry_credentials`], unless they are still encrypted.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let given = self.registry_credentials.as_ref()?;
        given.reveal().split_once(':').filter(|_| !given.is_encrypted())
    }

    /// The service's host; `None` when `registry` names the host itself.
    fn host(&self) -> Option<&'static str> {
        if self.names_registry_host() {
            return None;
        }
        match self.registry_type.unwrap_or_default() {
            RegistryType::Unspecified | RegistryType::DockerHub => Some("docker.io"),
            RegistryType::Docr => Some("registry.digitalocean.com"),
            RegistryType::Ghcr => Some("ghcr.io"),
        }
    }

    /// A first part with a dot, a port or `localhost` is a host, as in image references everywhere.
    pub(crate) fn names_registry_host(&self) -> bool {
        let first = self
            .registry
            .as_deref()
            .and_then(|registry| registry.split('/').next())
            .unwrap_or("");
        first.contains(['.', ':']) || first == "localhost"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_name_their_host() {
        let image = |registry_type, registry: &str, tag: Option<&str>, digest: Option<&str>| {
            ImageSource {
                registry_type: Some(registry_type),
                registry: Some(registry.into()),
                repository: "web".into(),
                tag: tag.map(Into::into),
                digest: digest.map(Into::into),
                ..Default::default()
            }
            .reference()
        };
        assert_eq!(
            image(RegistryType::DockerHub, "library", None, None),
            "docker.io/library/web:latest"
        );
        assert_eq!(
            image(RegistryType::Ghcr, "team", Some("v1"), None),
            "ghcr.io/team/web:v1"
        );
        assert_eq!(
            image(RegistryType::Docr, "r", None, Some("sha256:ab")),
            "registry.digitalocean.com/r/web@sha256:ab"
        );
        assert_eq!(
            image(RegistryType::DockerHub, "127.0.0.1:5000", Some("1"), None),
            "127.0.0.1:5000/web:1"
        );
    }

    #[test]
    fn hosted_repositories_are_cloned_over_https() {
        let hosted = RepositorySource {
            repo: "team/shop".into(),
            ..Default::default()
        };
        assert_eq!(
            Source::GitHub(&hosted).clone_url().unwrap(),
            "https://github.com/team/shop.git"
        );
        assert_eq!(
            Source::GitLab(&hosted).clone_url().unwrap(),
            "https://gitlab.com/team/shop.git"
        );
    }
}

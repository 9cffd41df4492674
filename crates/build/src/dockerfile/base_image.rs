//! Base images: names, pulls into the shared store, and what their failures mean.

use std::path::Path;

use mainstay_diagnosis::facts::BuildFault;

use super::{preflight::ImageUse, storage};

/// How often a pull is tried when the network or the registry is at fault.
pub(crate) const PULL_ATTEMPTS: u32 = 3;

/// Full names under which an image may be known to the shared store, in the order in which buildah looks: imported by the operator, then
/// the default registry.
pub(crate) fn candidates(reference: &str, default_registry: &str) -> Vec<String> {
    let reference = with_tag(reference);
    let first = reference.split('/').next().unwrap_or_default();
    let has_host = reference.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if has_host {
        return vec![reference];
    }
    let remote = if default_registry == "docker.io" && !reference.contains('/') {
        format!("docker.io/library/{reference}")
    } else {
        format!("{default_registry}/{reference}")
    };
    vec![format!("localhost/{reference}"), remote]
}

fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// The host that the last candidate is pulled from.
pub(crate) fn registry_host(full_name: &str) -> String {
    let host = full_name.split('/').next().unwrap_or_default();
    if host == "docker.io" {
        "registry-1.docker.io".to_owned()
    } else {
        host.to_owned()
    }
}

/// An image of the shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub name: String,
    pub id: String,
    pub architecture: String,
}

/// Looks an image up without any call of buildah.
pub(crate) fn find(shared_root: &Path, candidates: &[String]) -> Option<Found> {
    let images = storage::images(shared_root).ok()?;
    candidates.iter().find_map(|name| {
        let image = images.iter().find(|image| image.names.contains(name))?;
        let config = storage::config(shared_root, &image.id).ok()?;
        Some(Found {
            name: name.clone(),
            id: image.id.clone(),
            architecture: config.architecture,
        })
    })
}

/// Why a pull failed, from the message of the container tools (they give no code).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullFailure {
    pub status: Option<u16>,
    /// Another attempt may help.
    pub retry: bool,
    /// Architectures on offer, when the image is not there for ours.
    pub wrong_architecture: bool,
    pub message: String,
}

impl PullFailure {
    /// The registry said 429.
    pub(crate) fn rate_limit(message: String) -> Self {
        Self {
            status: Some(429),
            retry: true,
            wrong_architecture: false,
            message,
        }
    }
}

/// Error texts of containers/image 5.23 and docker/distribution, and the HTTP status that each of them stands for.
const STATUS_TEXTS: [(&str, u16); 9] = [
    ("toomanyrequests:", 429),
    ("too many requests", 429),
    ("unauthorized", 401),
    ("authentication required", 401),
    ("denied:", 403),
    ("manifest unknown", 404),
    ("name unknown", 404),
    ("repository name not known to registry", 404),
    ("requested access to the resource is denied", 403),
];

pub(crate) fn pull_failure(stderr: &[String]) -> PullFailure {
    let line = stderr
        .iter()
        .rev()
        .find(|line| line.contains("Error: "))
        .or(stderr.last())
        .map_or("the pull ended without a message", String::as_str);
    let message = line
        .rsplit_once("Error: ")
        .map_or(line, |(_, message)| message)
        .to_owned();
    let status = status(&message);
    let wrong_architecture = message.contains("no image found in manifest list for architecture")
        || message.contains("no image found in image index for architecture");
    PullFailure {
        status,
        retry: !wrong_architecture && status.is_none_or(|status| status == 429 || status >= 500),
        wrong_architecture,
        message,
    }
}

fn status(message: &str) -> Option<u16> {
    let explicit = message
        .split_once("HTTP status: ")
        .or_else(|| message.split_once("invalid status code from registry "))
        .and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    explicit.or_else(|| {
        let lower = message.to_ascii_lowercase();
        STATUS_TEXTS
            .iter()
            .find(|(text, _)| lower.contains(text))
            .map(|(_, status)| *status)
    })
}

/// What to report for an image that could not be had.
pub(crate) fn fault(
    path: &str,
    image: &ImageUse,
    failure: PullFailure,
    attempts: u32,
    host: String,
    node: &str,
) -> BuildFault {
    if failure.wrong_architecture {
        return BuildFault::ImageArchitecture {
            reference: image.reference.clone(),
            available: Vec::new(),
            node: node.to_owned(),
        };
    }
    if image.may_be_stage {
        return BuildFault::DockerfileInstruction {
            path: path.to_owned(),
            line: Some(image.line),
            instruction: image.instruction.clone(),
            message: format!(
                "no earlier stage is named `{}`, and no image of that name could be pulled: {}",
                image.reference, failure.message
            ),
            missing: Some(image.reference.clone()),
            ignored_by: None,
            clue: None,
        };
    }
    BuildFault::BaseImageNotPullable {
        reference: image.reference.clone(),
        host,
        status: failure.status,
        message: failure.message,
        attempts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_local_first() {
        assert_eq!(
            candidates("node:22", "docker.io"),
            ["localhost/node:22", "docker.io/library/node:22"]
        );
        assert_eq!(
            candidates("a/b", "mirror.local"),
            ["localhost/a/b:latest", "mirror.local/a/b:latest"]
        );
        assert_eq!(
            candidates("127.0.0.1:5000/x", "docker.io"),
            ["127.0.0.1:5000/x:latest"]
        );
        assert_eq!(
            candidates("ghcr.io/a/b@sha256:00", "docker.io"),
            ["ghcr.io/a/b@sha256:00"]
        );
    }

    #[test]
    fn failures_get_their_status_and_only_some_are_tried_again() {
        for (message, status, retry) in [
            (
                "reading manifest 1 in h/x: toomanyrequests: slow down",
                Some(429),
                true,
            ),
            ("reading manifest 1 in h/x: manifest unknown", Some(404), false),
            ("reading manifest 1 in h/x: unauthorized: auth", Some(401), false),
            // So it reads when the registry asks for a login and there is none.
            ("reading manifest 1 in h/x: unauthorized", Some(401), false),
            ("reading manifest 1 in h/x: denied: denied", Some(403), false),
            (
                "received unexpected HTTP status: 503 Service Unavailable",
                Some(503),
                true,
            ),
            ("dial tcp 127.0.0.1:1: connect: connection refused", None, true),
        ] {
            let failure = pull_failure(&[format!("Error: initializing source docker://x: {message}")]);
            assert_eq!((failure.status, failure.retry), (status, retry), "{message}");
            assert!(failure.message.starts_with("initializing source"));
        }
    }
}

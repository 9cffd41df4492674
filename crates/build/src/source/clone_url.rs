//! Clone URLs: which are allowed, and how their credentials are kept out of sight.

use std::{fmt, path::Path};

use mainstay_diagnosis::facts::BuildFault;
use percent_encoding::percent_decode_str;
use url::Url;

use super::LocalPaths;

/// A clone URL without its credentials, which are kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct CloneUrl {
    /// As git gets it; holds no password.
    location: String,
    transport: Transport,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Ssh,
    Local,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl CloneUrl {
    /// Accepts http, https and ssh URLs, `user@host:path`, and paths of this machine as far as `local_paths` allows.
    pub fn parse(text: &str, local_paths: &LocalPaths) -> Result<Self, BuildFault> {
        if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
            return Err(refused(
                "",
                "a clone URL is not empty, does not begin with - and holds no control characters",
            ));
        }
        if text.starts_with('/') {
            return Self::local(text, local_paths);
        }
        match text.split_once("://") {
            Some(("http" | "https", _)) => Self::http(text),
            Some(("ssh", _)) => Self::ssh(text),
            Some(("file", path)) if path.starts_with('/') => Self::local(path, local_paths),
            Some((scheme, _)) => Err(refused(
                scheme,
                "a clone URL begins with https://, http://, ssh:// or is a path of this machine",
            )),
            None if is_scp_like(text) => Ok(Self::without_credentials(text, Transport::Ssh)),
            None => Err(refused(
                text,
                "a clone URL is a whole URL (https://host/path), user@host:path, or an absolute path of this machine",
            )),
        }
    }

    fn http(text: &str) -> Result<Self, BuildFault> {
        let mut url =
            Url::parse(text).map_err(|error| refused("", &format!("the clone URL is no URL: {error}")))?;
        let credentials = credentials_of(&url);
        // Cannot fail for http and https, which always have an authority.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self {
            location: url.to_string(),
            transport: Transport::Http,
            credentials,
        })
    }

    fn ssh(text: &str) -> Result<Self, BuildFault> {
        let mut url =
            Url::parse(text).map_err(|error| refused("", &format!("the clone URL is no URL: {error}")))?;
        if url
            .host_str()
            .is_none_or(|host| host.is_empty() || host.starts_with('-'))
        {
            return Err(refused(
                "",
                "the host of an ssh URL must not be empty or begin with -",
            ));
        }
        // The user of ssh is no secret; a password would never be used.
        let _ = url.set_password(None);
        Ok(Self::without_credentials(url.as_str(), Transport::Ssh))
    }

    fn local(path: &str, local_paths: &LocalPaths) -> Result<Self, BuildFault> {
        if local_paths.allow(Path::new(path)) {
            Ok(Self::without_credentials(path, Transport::Local))
        } else {
            Err(refused(
                path,
                "of its own machine, this installation builds only from below the directories that its operator lists in [sources] local_paths",
            ))
        }
    }

    fn without_credentials(location: &str, transport: Transport) -> Self {
        Self {
            location: location.to_owned(),
            transport,
            credentials: None,
        }
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The URL of a submodule, which may be relative to this one. Only a local repository may have local submodules, and those under the
    /// rule that holds for it.
    pub(crate) fn submodule(&self, text: &str, local_paths: &LocalPaths) -> Result<Self, BuildFault> {
        let absolute = if text.starts_with("./") || text.starts_with("../") {
            join_relative(&self.location, text)
        } else {
            text.to_owned()
        };
        let local_paths = match self.transport {
            Transport::Local => local_paths,
            _ => &LocalPaths::Refused,
        };
        let mut url = Self::parse(&absolute, local_paths)?;
        if url.credentials.is_none() && url.host_prefix() == self.host_prefix() {
            url.credentials.clone_from(&self.credentials);
        }
        Ok(url)
    }

    /// Scheme and host; the scope within which the credentials may be used again.
    pub(crate) fn host_prefix(&self) -> &str {
        let after_scheme = self.location.find("://").map_or(0, |at| at + 3);
        let end = self.location[after_scheme..]
            .find('/')
            .map_or(self.location.len(), |at| after_scheme + at);
        &self.location[..end]
    }
}

/// Never shows credentials.
impl fmt::Display for CloneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location)
    }
}

impl fmt::Debug for CloneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloneUrl")
            .field("location", &self.location)
            .field("credentials", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

fn credentials_of(url: &Url) -> Option<Credentials> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = url.password().unwrap_or_default();
    (!url.username().is_empty() || !password.is_empty()).then(|| Credentials {
        user: decode(url.username()),
        password: decode(password),
    })
}

/// `user@host:path`, as git's manual describes it: a colon before the first slash.
fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty()
            && !host.contains('/')
            && !path.is_empty()
            && !path.starts_with(':')
            && host.contains('@')
    })
}

/// Relative submodule URLs start at the repository's own URL, as if it were a directory.
fn join_relative(base: &str, relative: &str) -> String {
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = relative;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            let cut = base.rfind(['/', ':']).unwrap_or(0);
            base.truncate(cut);
        } else {
            return format!("{base}/{rest}");
        }
    }
}

fn refused(url: &str, rule: &str) -> BuildFault {
    BuildFault::CloneUrlRefused {
        url: url.to_owned(),
        rule: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CloneUrl, BuildFault> {
        CloneUrl::parse(text, &LocalPaths::Anywhere)
    }

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        let url = parse("https://me:to%40ken@host.example/owner/app.git").unwrap();
        assert_eq!(url.location(), "https://host.example/owner/app.git");
        let credentials = url.credentials().unwrap();
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            ("me", "to@ken")
        );
        assert!(!format!("{url} {url:?}").contains("ken"));
    }

    #[test]
    fn only_safe_transports_are_accepted() {
        for accepted in [
            "https://h.example/a",
            "http://h.example/a",
            "ssh://git@h.example/a",
            "git@h.example:a/b.git",
            "/srv/app",
            "file:///srv/app",
        ] {
            assert!(parse(accepted).is_ok(), "{accepted}");
        }
        for refused in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c x",
            "git://h.example/a",
            "ssh://-oProxyCommand=x/a",
            "../app",
            "app",
            "https://h.example/a\nb",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn local_paths_can_be_limited_to_directories() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("app");
        std::fs::create_dir(&inside).unwrap();
        let only = LocalPaths::Under(vec![root.path().canonicalize().unwrap()]);
        assert!(CloneUrl::parse(inside.to_str().unwrap(), &only).is_ok());
        assert!(CloneUrl::parse(&format!("{}/app/../../..", root.path().display()), &only).is_err());
        assert!(CloneUrl::parse("/etc", &only).is_err());
        let url = CloneUrl::parse(inside.to_str().unwrap(), &only).unwrap();
        assert!(url.submodule("../app", &only).is_ok());
        assert!(url.submodule("/etc", &only).is_err());
        assert!(url.submodule("../../../../../../etc", &only).is_err());
        let link = root.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(CloneUrl::parse(link.to_str().unwrap(), &only).is_err());
        // What is not there is git's to say, where one may look at all.
        assert!(CloneUrl::parse(&format!("{}/none", root.path().display()), &only).is_ok());
        assert!(CloneUrl::parse(&format!("{}/none/../../x", root.path().display()), &only).is_err());
        assert!(CloneUrl::parse("/etc", &LocalPaths::Refused).is_err());
    }

    #[test]
    fn submodules_keep_the_host_and_its_credentials() {
        let anywhere = LocalPaths::Anywhere;
        let url = parse("https://me:token@host.example/owner/app.git").unwrap();
        let theme = url.submodule("../theme.git", &anywhere).unwrap();
        assert_eq!(theme.location(), "https://host.example/owner/theme.git");
        assert!(theme.credentials().is_some());
        let other = url.submodule("https://elsewhere.example/x", &anywhere).unwrap();
        assert!(other.credentials().is_none());
        assert!(url.submodule("/etc/secret", &anywhere).is_err());
    }
}

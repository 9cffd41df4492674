//! Branch → commit, by asking the repository.

use mainstay_diagnosis::facts::BuildFault;

use super::{
    CloneUrl, ResolvedBranch,
    clone_url::Transport,
    fetch_failure::FetchFailure,
    git::{Git, GitError},
};

/// Branches named in a fault; more than this helps nobody.
const EXISTING_MAX: usize = 50;

/// What a repository says about its branches.
#[derive(Debug, Default, PartialEq, Eq)]
struct References {
    /// Where HEAD points to: "main".
    default_branch: Option<String>,
    /// (branch, commit), as listed.
    branches: Vec<(String, String)>,
}

pub(super) async fn resolve(
    git: &Git,
    url: &CloneUrl,
    branch: Option<&str>,
) -> Result<ResolvedBranch, FetchFailure> {
    let advertised = match url.transport() {
        Transport::Local => advertised(git, url).await,
        Transport::Http | Transport::Ssh => None,
    };
    let references = match advertised {
        Some(references) => references,
        None => listed(git, url).await?,
    };
    references.find(url, branch).map_err(FetchFailure::Fault)
}

/// What `ls-remote` would ask of a repository on this machine, asked without it and the shell between: one process instead of three.
/// Whatever is wrong, `ls-remote` finds the words for it.
async fn advertised(git: &Git, url: &CloneUrl) -> Option<References> {
    let arguments = ["upload-pack", "--advertise-refs", "--", url.location()];
    let output = git.remote(url, &[], &arguments).await.ok()?;
    References::from_advertisement(&output.stdout).filter(|_| output.success)
}

async fn listed(git: &Git, url: &CloneUrl) -> Result<References, FetchFailure> {
    let arguments = [
        "ls-remote",
        "--symref",
        "--",
        url.location(),
        "HEAD",
        "refs/heads/*",
    ];
    let output = git
        .remote(url, &[], &arguments)
        .await
        .map_err(|error| failure(error, git))?;
    if !output.success {
        return Err(FetchFailure::from_stderr(&output.stderr, url));
    }
    Ok(References::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// A deadline is the repository's fault, everything else is ours.
pub(super) fn failure(error: GitError, git: &Git) -> FetchFailure {
    match error {
        GitError::TimedOut(_) => FetchFailure::TimedOut {
            seconds: git.fetch_timeout().as_secs(),
        },
        other => FetchFailure::Fault(other.into()),
    }
}

impl References {
    /// Lines are `ref: refs/heads/main<TAB>HEAD` and `<commit><TAB><ref>`.
    fn parse(text: &str) -> Self {
        let mut references = Self::default();
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if let Some(target) = value.strip_prefix("ref: refs/heads/") {
                if name == "HEAD" {
                    references.default_branch = Some(target.to_owned());
                }
            } else if let Some(branch) = name.strip_prefix("refs/heads/") {
                references.branches.push((branch.to_owned(), value.to_owned()));
            }
        }
        references
    }

    /// Packets of git's protocol, version 0 (gitprotocol-pack(5)): `<length>HEAD's commit HEAD<NUL>… symref=HEAD:refs/heads/main …`, then
    /// one reference each; `0000` ends them.
    fn from_advertisement(bytes: &[u8]) -> Option<Self> {
        let mut references = Self::default();
        let mut rest = bytes;
        loop {
            let (length, after) = rest.split_at_checked(4)?;
            let length = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
            if length == 0 {
                return Some(references);
            }
            let (packet, following) = after.split_at_checked(length.checked_sub(4)?)?;
            references.add_packet(&String::from_utf8_lossy(packet));
            rest = following;
        }
    }

    fn add_packet(&mut self, packet: &str) {
        let (reference, capabilities) = packet.split_once('\0').unwrap_or((packet, ""));
        let default_branch = capabilities
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix("symref=HEAD:refs/heads/"));
        if let Some(default_branch) = default_branch {
            self.default_branch = Some(default_branch.to_owned());
        }
        if let Some((commit, name)) = reference.trim_end().split_once(' ')
            && let Some(branch) = name.strip_prefix("refs/heads/")
        {
            self.branches.push((branch.to_owned(), commit.to_owned()));
        }
    }

    fn find(self, url: &CloneUrl, branch: Option<&str>) -> Result<ResolvedBranch, BuildFault> {
        let Some(wanted) = branch.or(self.default_branch.as_deref()).map(str::to_owned) else {
            return Err(BuildFault::SourceNotFetchable {
                origin: url.to_string(),
                message: "the repository has no branch".to_owned(),
                network: false,
                attempts: 1,
            });
        };
        let commit = self.branches.iter().find(|(name, _)| *name == wanted);
        match commit {
            Some((_, commit)) => Ok(ResolvedBranch {
                branch: wanted,
                commit: commit.clone(),
            }),
            None => Err(BuildFault::BranchMissing {
                origin: url.to_string(),
                branch: wanted,
                existing: self
                    .branches
                    .into_iter()
                    .map(|(name, _)| name)
                    .take(EXISTING_MAX)
                    .collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::LocalPaths, *};

    const LISTING: &str =
        "ref: refs/heads/main\tHEAD\n1111\tHEAD\n2222\trefs/heads/feature/x\n1111\trefs/heads/main\n";

    fn url() -> CloneUrl {
        CloneUrl::parse("https://h.example/a", &LocalPaths::Refused).unwrap()
    }

    #[test]
    fn the_default_branch_is_taken_when_none_is_named() {
        let found = References::parse(LISTING).find(&url(), None).unwrap();
        assert_eq!((found.branch.as_str(), found.commit.as_str()), ("main", "1111"));
    }

    #[test]
    fn a_missing_branch_names_those_that_exist() {
        let fault = References::parse(LISTING)
            .find(&url(), Some("master"))
            .unwrap_err();
        let BuildFault::BranchMissing { branch, existing, .. } = fault else {
            panic!("wrong fault")
        };
        assert_eq!(branch, "master");
        assert_eq!(existing, ["feature/x", "main"]);
    }

    #[test]
    fn an_advertisement_says_the_same_as_a_listing() {
        let packets = [
            "1111 HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2.47\n",
            "2222 refs/heads/feature/x\n",
            "1111 refs/heads/main\n",
            "3333 refs/tags/v1\n",
        ];
        let packed: String = packets
            .iter()
            .map(|packet| format!("{:04x}{packet}", packet.len() + 4))
            .collect();
        let advertised = References::from_advertisement(format!("{packed}0000").as_bytes());
        assert_eq!(advertised, Some(References::parse(LISTING)));
        // Cut off.
        assert_eq!(References::from_advertisement(packed.as_bytes()), None);
        assert_eq!(References::from_advertisement(b"fatal: no repository"), None);
        assert_eq!(References::from_advertisement(b"0003"), None);
    }

    #[test]
    fn an_empty_repository_says_so() {
        assert!(matches!(
            References::parse("").find(&url(), None),
            Err(BuildFault::SourceNotFetchable { .. })
        ));
    }
}

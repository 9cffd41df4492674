//! Branch → commit, by asking the repository.

use mainstay_diagnosis::facts::BuildFault;

use super::{
    CloneUrl, ResolvedBranch,
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
    let references = References::parse(&String::from_utf8_lossy(&output.stdout));
    references.find(url, branch).map_err(FetchFailure::Fault)
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
    fn an_empty_repository_says_so() {
        assert!(matches!(
            References::parse("").find(&url(), None),
            Err(BuildFault::SourceNotFetchable { .. })
        ));
    }
}

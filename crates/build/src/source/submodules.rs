//! Submodules: fetched one by one like any source, each under the rules of clone URLs; git never follows them by itself.

use std::{collections::BTreeMap, fs, path::Path};

use mainstay_diagnosis::facts::BuildFault;

use super::{
    CloneUrl, GitSources, SourceDir, checkout,
    git::{Git, git_dir},
    mirror::Mirror,
    platform_fault,
};

const DEPTH_MAX: usize = 5;
const COUNT_MAX: usize = 100;

/// A submodule of a commit.
#[derive(Debug, PartialEq, Eq)]
struct Submodule {
    path: String,
    url: String,
    branch: Option<String>,
    commit: String,
}

/// Fetches and writes all submodules below `directory`; gives their paths.
pub(super) async fn check_out_all(
    sources: &GitSources,
    mirror: &Mirror,
    url: &CloneUrl,
    commit: &str,
    directory: &Path,
) -> Result<Vec<String>, BuildFault> {
    let mut written = Vec::new();
    let mut waiting: Vec<(String, Submodule, CloneUrl, usize)> = Vec::new();
    push_all(
        &mut waiting,
        list(&sources.git, mirror, commit).await?,
        "",
        url,
        1,
    );
    while let Some((path, submodule, parent, depth)) = waiting.pop() {
        if depth > DEPTH_MAX || written.len() >= COUNT_MAX {
            return Err(refused(
                &path,
                "submodules are nested at most 5 deep, and at most 100 in number",
            ));
        }
        let url = parent.submodule(&submodule.url, sources.local_paths())?;
        let mirror = sources
            .fetched(&url, submodule.branch.as_deref(), &submodule.commit)
            .await?;
        let target = directory.join(&path);
        fs::create_dir_all(&target).map_err(|error| platform_fault("preparing a submodule", &error))?;
        stays_inside(directory, &target, &path)?;
        checkout::write_files(&sources.git, &mirror, &submodule.commit, &target).await?;
        let inner = list(&sources.git, &mirror, &submodule.commit).await?;
        push_all(&mut waiting, inner, &format!("{path}/"), &url, depth + 1);
        written.push(path);
    }
    written.sort();
    Ok(written)
}

fn push_all(
    waiting: &mut Vec<(String, Submodule, CloneUrl, usize)>,
    found: Vec<Submodule>,
    prefix: &str,
    url: &CloneUrl,
    depth: usize,
) {
    waiting.extend(found.into_iter().map(|submodule| {
        (
            format!("{prefix}{}", submodule.path),
            submodule,
            url.clone(),
            depth,
        )
    }));
}

/// A symlink in the source must not lead a submodule's files elsewhere.
fn stays_inside(root: &Path, target: &Path, path: &str) -> Result<(), BuildFault> {
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|error| platform_fault("preparing a submodule", &error))
    };
    if real(target)?.starts_with(real(root)?) {
        Ok(())
    } else {
        Err(refused(path, "a submodule's path leads out of the source"))
    }
}

/// The links of the commit that `.gitmodules` gives a URL for. Links without one are left empty, as git does.
async fn list(git: &Git, mirror: &Mirror, commit: &str) -> Result<Vec<Submodule>, BuildFault> {
    let blob = format!("{commit}:.gitmodules");
    let words = ["config", "--blob", blob.as_str(), "--null", "--list"];
    let output = git.local(&git_dir(mirror.path()), &words).await?;
    if !output.success {
        return Ok(Vec::new());
    }
    let declared = parse_gitmodules(&String::from_utf8_lossy(&output.stdout));
    let words = ["ls-tree", "-r", "-z", "--full-tree", commit];
    let links = parse_links(&git.local_text(&git_dir(mirror.path()), &words).await?);
    let mut submodules = Vec::new();
    for (_, fields) in declared {
        let (Some(path), Some(url)) = (fields.get("path"), fields.get("url")) else {
            continue;
        };
        let path = SourceDir::parse(path)?.as_str().to_owned();
        if let Some(commit) = links.get(&path) {
            submodules.push(Submodule {
                path,
                url: url.clone(),
                branch: fields.get("branch").filter(|branch| *branch != ".").cloned(),
                commit: commit.clone(),
            });
        }
    }
    Ok(submodules)
}

/// `submodule.<name>.<field>\n<value>\0` …
fn parse_gitmodules(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut modules: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (key, value) in text.split('\0').filter_map(|entry| entry.split_once('\n')) {
        let named = key
            .strip_prefix("submodule.")
            .and_then(|rest| rest.rsplit_once('.'));
        if let Some((name, field)) = named {
            modules
                .entry(name.to_owned())
                .or_default()
                .insert(field.to_owned(), value.to_owned());
        }
    }
    modules
}

/// `<mode> <type> <id>\t<path>\0` …; only links (mode 160000).
fn parse_links(text: &str) -> BTreeMap<String, String> {
    text.split('\0')
        .filter_map(|entry| entry.split_once('\t'))
        .filter_map(|(object, path)| {
            let commit = object.strip_prefix("160000 commit ")?;
            Some((path.to_owned(), commit.to_owned()))
        })
        .collect()
}

fn refused(path: &str, rule: &str) -> BuildFault {
    BuildFault::SourceRefused {
        path: path.to_owned(),
        rule: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitmodules_are_read_by_name() {
        let modules =
            parse_gitmodules("submodule.themes/a.path\nthemes/a\0submodule.themes/a.url\nhttps://h/a\0");
        assert_eq!(modules["themes/a"]["url"], "https://h/a");
    }

    #[test]
    fn only_links_are_submodules() {
        let links = parse_links("100644 blob 11\tREADME\x00160000 commit 22\tthemes/a\0");
        assert_eq!(links.len(), 1);
        assert_eq!(links["themes/a"], "22");
    }
}

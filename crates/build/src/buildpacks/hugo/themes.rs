//! Themes of a Hugo site that are not there: Hugo makes a site of nothing without them, and says so in a warning at most.

use crate::source::{EntryKind, SourceTree};

const DIRECTORY: &str = "themes";

/// One sentence for each theme whose directory is empty.
pub(super) fn missing(tree: &SourceTree) -> Vec<String> {
    let modules = tree.text(".gitmodules").unwrap_or_default();
    let directories = tree
        .entries(DIRECTORY)
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::Directory)
        .map(|entry| format!("{DIRECTORY}/{}", entry.name));
    directories
        .filter(|path| tree.entries(path).is_empty())
        .map(|path| sentence(&path, &modules))
        .collect()
}

fn sentence(path: &str, modules: &str) -> String {
    let next = match url_of(path, modules) {
        Some(url) => format!(
            ".gitmodules has it as a submodule of {url}, which was not fetched before the upload: git submodule update --init"
        ),
        None => {
            "a repository inside a repository is not committed unless it is a submodule: git submodule add"
                .to_owned()
        }
    };
    format!("{path} is empty, so the site has nothing of that theme, and `/` may be 404; {next}")
}

/// The url below `[submodule]` with this path, without credentials.
fn url_of<'a>(path: &str, modules: &'a str) -> Option<&'a str> {
    let is_it = |section: &&str| {
        let mut lines = section.lines();
        // The path counts from the root of the repository; the site may lie below it.
        lines
            .any(|line| value(line, "path").is_some_and(|of| of == path || of.ends_with(&format!("/{path}"))))
    };
    let section = modules.split("[submodule").find(is_it)?;
    let url = section.lines().find_map(|line| value(line, "url"))?;
    Some(url.rsplit('@').next().unwrap_or(url))
}

/// Of a line "key = value".
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once('=')?;
    (name.trim() == key).then_some(value.trim())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_empty_theme_names_its_submodule() {
        let root = tempfile::tempdir().unwrap();
        for path in ["themes/ananke", "themes/lost", "themes/here"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("themes/here/theme.toml"), "").unwrap();
        fs::write(
            root.path().join(".gitmodules"),
            "[submodule \"themes/ananke\"]\n\tpath = themes/ananke\n\turl = https://me:secret@git.example/ananke.git\n",
        )
        .unwrap();
        let found = missing(&SourceTree::open(root.path()).unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("themes/ananke is empty")
                && found[0].contains("submodule of git.example/ananke.git,"),
            "{}",
            found[0]
        );
        assert!(
            found[1].starts_with("themes/lost is empty") && found[1].contains("git submodule add"),
            "{}",
            found[1]
        );
    }
}

//! Files that show what a directory holds: for faults that say where something buildable is.

use mainstay_diagnosis::facts::BuildFault;

use crate::source::{EntryKind, SourceTree};

/// What the built-in buildpacks and the Dockerfile engine begin with.
const MANIFESTS: &[&str] = &[
    "Dockerfile",
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "setup.py",
    "Pipfile",
    "go.mod",
    "index.html",
    "hugo.toml",
    "Procfile",
];

/// Languages that App Platform builds and this version does not yet.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("composer.json", "PHP"),
    ("index.php", "PHP"),
    ("Gemfile", "Ruby"),
    ("Cargo.toml", "Rust"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Java"),
    ("mix.exs", "Elixir"),
    ("deno.json", "Deno"),
];

const SKIPPED: &[&str] = &[
    "node_modules",
    "vendor",
    ".git",
    ".venv",
    "venv",
    "target",
    "dist",
];
const DEPTH_MAX: usize = 4;
const DIRECTORIES_MAX: usize = 2000;
const NAMED_MAX: usize = 30;

/// The names at the top of a directory, directories with a slash.
pub(crate) fn names(tree: &SourceTree) -> Vec<String> {
    let name = |entry: crate::source::TreeEntry| match entry.kind {
        EntryKind::Directory => format!("{}/", entry.name),
        _ => entry.name,
    };
    tree.entries("").into_iter().map(name).take(NAMED_MAX).collect()
}

/// Manifests in other directories than `source_dir`, relative to the source; shallow ones first.
pub(crate) fn elsewhere(repository: &SourceTree, source_dir: &str) -> Vec<String> {
    let own = source_dir.trim_matches('/');
    find(repository, |directory, name| {
        directory != own && MANIFESTS.contains(&name)
    })
}

/// Files named like a Dockerfile.
pub(crate) fn dockerfiles(repository: &SourceTree) -> Vec<String> {
    find(repository, |_, name| {
        let lower = name.to_ascii_lowercase();
        lower == "dockerfile" || lower.starts_with("dockerfile.") || lower.ends_with(".dockerfile")
    })
}

/// Names the language when the directory is of one that is not built yet.
pub(crate) fn unsupported_language(tree: &SourceTree) -> Option<BuildFault> {
    let (file, language) = UNSUPPORTED.iter().find(|(file, _)| tree.has_file(file))?;
    Some(BuildFault::Unsupported {
        what: format!("{language} ({file})"),
        reason: "there is no buildpack for it in this version; a Dockerfile builds it".to_owned(),
    })
}

/// Breadth first, so that what is near is found before the limits are reached.
fn find(tree: &SourceTree, wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = std::collections::VecDeque::from([(String::new(), 0)]);
    let mut visited = 0;
    while let Some((directory, depth)) = waiting.pop_front() {
        visited += 1;
        for entry in tree.entries(&directory) {
            let path = if directory.is_empty() {
                entry.name.clone()
            } else {
                format!("{directory}/{}", entry.name)
            };
            let descend = depth < DEPTH_MAX && !SKIPPED.contains(&entry.name.as_str());
            match entry.kind {
                EntryKind::Directory if descend => waiting.push_back((path, depth + 1)),
                EntryKind::File if wanted(&directory, &entry.name) => found.push(path),
                _ => {}
            }
        }
        if visited >= DIRECTORIES_MAX || found.len() >= NAMED_MAX {
            break;
        }
    }
    found.truncate(NAMED_MAX);
    found
}

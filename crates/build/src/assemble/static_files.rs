//! A static site's files: found after the build, moved into a layer of their own. What is served holds files and directories only:
//! a link that stays inside the source becomes a copy of its file, one that leads elsewhere is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use mainstay_images::{
    ImageStore,
    record::LayerId,
    store::{LayerDraft, StoreError},
    tree::LayerTree,
};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use walkdir::WalkDir;

use crate::{plan::StaticOutput, source::SourceTree};

const WRITTEN_MAX: usize = 20;
const SKIPPED: &[&str] = &["node_modules", ".venv", ".git", ".cache"];

/// Where the files turned out to be, or what was there instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OutputChoice {
    /// Relative to the app's directory; "." is the directory itself.
    Directory(String),
    Missing {
        output_dir: String,
        /// New directories and how many files are in them.
        written: Vec<(String, u64)>,
    },
}

/// The directories of a source before its build.
#[derive(Debug)]
pub(crate) struct KnownDirectories(BTreeSet<PathBuf>);

impl KnownDirectories {
    pub(crate) fn of(app: &Path) -> Self {
        Self(directories(app).collect())
    }
}

fn directories(app: &Path) -> impl Iterator<Item = PathBuf> {
    let skipped = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| SKIPPED.contains(&name));
    WalkDir::new(app)
        .min_depth(1)
        .into_iter()
        .filter_entry(move |entry| !skipped(entry.file_name()))
        .flatten()
        .filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
}

/// Directories of an image that look like a site's files, with how many files are in them: those with an index.html, the outermost only.
pub(crate) fn sites_in_image(layers: &[PathBuf]) -> Vec<(String, u64)> {
    let files: BTreeSet<PathBuf> = layers.iter().flat_map(|layer| files_of_layer(layer)).collect();
    let mut sites: Vec<&Path> = Vec::new();
    for file in &files {
        let parent = file.parent().unwrap_or(Path::new(""));
        let is_index = file.file_name().is_some_and(|name| name == "index.html");
        if is_index && !sites.iter().any(|site| parent.starts_with(site)) {
            sites.push(parent);
        }
    }
    let count = |site: &Path| files.iter().filter(|file| file.starts_with(site)).count() as u64;
    sites
        .into_iter()
        .take(WRITTEN_MAX)
        .map(|site| (format!("/{}", site.display()), count(site)))
        .collect()
}

fn files_of_layer(layer: &Path) -> impl Iterator<Item = PathBuf> {
    // Documentation of packages is full of pages.
    let skipped = |name: &std::ffi::OsStr| {
        name.to_str()
            .is_some_and(|name| SKIPPED.contains(&name) || matches!(name, "doc" | "proc" | "sys"))
    };
    WalkDir::new(layer)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(move |entry| !skipped(entry.file_name()))
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .filter_map(move |entry| Some(entry.path().strip_prefix(layer).ok()?.to_owned()))
}

/// Looks for the output. `tree` is the app's directory after the build.
pub(crate) fn choose_output(
    output: &StaticOutput,
    tree: &SourceTree,
    before: &KnownDirectories,
) -> OutputChoice {
    let candidates = match output {
        StaticOutput::Directory(directory) => vec![directory.trim_matches('/').to_owned()],
        StaticOutput::FirstOf(directories) => directories.clone(),
    };
    let exists =
        |candidate: &&String| matches!(candidate.as_str(), "" | ".") || tree.has_directory(candidate);
    // Many tools read a `public` of the source and write another directory: what the build made comes first.
    let made = |candidate: &&String| !before.0.contains(&tree.path().join(candidate));
    let there = || candidates.iter().filter(exists);
    match there().find(made).or_else(|| there().next()) {
        Some(directory) if directory.is_empty() => OutputChoice::Directory(".".to_owned()),
        Some(directory) => OutputChoice::Directory(directory.clone()),
        None => OutputChoice::Missing {
            output_dir: candidates.join(", "),
            written: written(tree.path(), before),
        },
    }
}

/// Directories that the build made: the topmost ones, and deeper ones with an index page, each with all its files.
fn written(app: &Path, before: &KnownDirectories) -> Vec<(String, u64)> {
    let new: Vec<PathBuf> = directories(app).filter(|path| !before.0.contains(path)).collect();
    let is_topmost = |path: &Path| {
        path.parent()
            .is_some_and(|parent| parent == app || before.0.contains(parent))
    };
    let mut counts = BTreeMap::new();
    for path in &new {
        if is_topmost(path) || path.join("index.html").is_file() {
            let files = WalkDir::new(path)
                .into_iter()
                .flatten()
                .filter(|entry| entry.file_type().is_file());
            let name = path.strip_prefix(app).unwrap_or(path).display().to_string();
            counts.insert(name, files.count() as u64);
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    // A site begins with a page, and tools hide what they keep for themselves.
    counts.sort_by_key(|(name, files)| {
        let has_index = app.join(name).join("index.html").is_file();
        let is_hidden = name.starts_with('.');
        (is_hidden, !has_index, std::cmp::Reverse(*files), name.clone())
    });
    counts.truncate(WRITTEN_MAX);
    counts
}

/// Moves the files of `output` (below `app`, itself below `source_root`) into a layer. Gives the layer and the links that were left out.
pub(crate) fn move_output(
    store: &ImageStore,
    source_root: &Path,
    app: &Path,
    output: &str,
) -> Result<(LayerId, Vec<String>), StoreError> {
    let draft = store.begin_layer()?;
    let from = app.join(output);
    let place = draft.path().to_owned();
    let failed = |error| StoreError::File {
        operation: "collect the files of",
        path: from.clone(),
        source: error,
    };
    let left_out = replace_links(source_root, &from).map_err(failed)?;
    for entry in fs::read_dir(&from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        fs::rename(entry.path(), place.join(entry.file_name())).map_err(failed)?;
    }
    Ok((draft.commit(None)?, left_out))
}

/// Makes every link below `output` the file that it names, if that lies below `root` and outside of a link of its own.
fn replace_links(root: &Path, output: &Path) -> io::Result<Vec<String>> {
    let root_directory = File::open(root)?;
    let links: Vec<PathBuf> = WalkDir::new(output)
        .into_iter()
        .flatten()
        .filter(|entry| !entry.file_type().is_dir() && !entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let mut left_out = Vec::new();
    for link in links {
        let target = link
            .strip_prefix(root)
            .ok()
            .and_then(|path| open_inside(&root_directory, path));
        fs::remove_file(&link)?;
        match target {
            Some(mut file) => {
                io::copy(&mut file, &mut File::create(&link)?)?;
            }
            None => left_out.push(link.strip_prefix(output).unwrap_or(&link).display().to_string()),
        }
    }
    Ok(left_out)
}

/// Follows links inside of the directory only; regular files only.
fn open_inside(root: &impl AsFd, path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )
    .ok()?;
    let file = File::from(file);
    file.metadata().ok()?.is_file().then_some(file)
}

/// Copies a directory of an image into a draft, as the image's processes would see it. `false`: there is no such directory.
pub(crate) fn files_of_image(
    tree: &LayerTree,
    directory: &str,
    draft: &LayerDraft,
) -> Result<bool, StoreError> {
    let failed = |source| StoreError::File {
        operation: "copy",
        path: PathBuf::from(directory),
        source,
    };
    copy_directory(tree, Path::new(directory), draft.path()).map_err(failed)
}

fn copy_directory(tree: &LayerTree, from: &Path, to: &Path) -> io::Result<bool> {
    let Some(names) = tree.list(from).map_err(io::Error::other)? else {
        return Ok(false);
    };
    for name in names {
        let (inside, place) = (from.join(&name), to.join(&name));
        let Some(node) = tree.find(&inside).map_err(io::Error::other)? else {
            continue;
        };
        if node.metadata.is_file() {
            fs::copy(&node.host_path, &place)?;
        } else if node.metadata.is_dir() && node.path == inside {
            // Not through a link to a directory, which could lead back up.
            fs::create_dir(&place)?;
            copy_directory(tree, &inside, &place)?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn app(files: &[&str]) -> tempfile::TempDir {
        let app = tempfile::tempdir().unwrap();
        for name in files {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, *name).unwrap();
        }
        app
    }

    #[test]
    fn a_missing_output_names_what_was_written_instead() {
        let app = app(&["src/index.js"]);
        let before = KnownDirectories::of(app.path());
        for name in [
            "dist/index.html",
            "dist/a.js",
            "site/out/index.html",
            ".next/a",
            ".next/b",
            ".next/c",
            "node_modules/x/y",
        ] {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = SourceTree::open(app.path()).unwrap();
        let missing = choose_output(&StaticOutput::Directory("build".to_owned()), &tree, &before);
        let OutputChoice::Missing { output_dir, written } = missing else {
            panic!("{missing:?}")
        };
        assert_eq!(output_dir, "build");
        let expected = [("dist", 2), ("site/out", 1), ("site", 1), (".next", 3)]
            .map(|(name, files)| (name.to_owned(), files));
        assert_eq!(written, expected);
        let usual = StaticOutput::FirstOf(vec!["_static".to_owned(), "dist".to_owned()]);
        assert_eq!(
            choose_output(&usual, &tree, &before),
            OutputChoice::Directory("dist".to_owned())
        );
    }

    #[test]
    fn what_the_build_made_comes_before_what_the_source_has() {
        let app = app(&["public/index.html"]);
        let before = KnownDirectories::of(app.path());
        let usual = StaticOutput::FirstOf(["dist", "public", "build"].map(str::to_owned).to_vec());
        let chosen = || choose_output(&usual, &SourceTree::open(app.path()).unwrap(), &before);
        assert_eq!(chosen(), OutputChoice::Directory("public".to_owned()));
        fs::create_dir(app.path().join("build")).unwrap();
        assert_eq!(chosen(), OutputChoice::Directory("build".to_owned()));
    }

    #[test]
    fn links_become_files_or_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let app = app(&["assets/logo.svg", "public/index.html"]);
        symlink("../assets/logo.svg", app.path().join("public/logo.svg")).unwrap();
        symlink("/etc/passwd", app.path().join("public/passwd")).unwrap();
        symlink("../../../../etc", app.path().join("public/etc")).unwrap();
        let (layer, mut left_out) = move_output(&store, app.path(), app.path(), "public").unwrap();
        left_out.sort();
        assert_eq!(left_out, ["etc", "passwd"]);
        let files = store.layer_path(&layer).unwrap();
        assert_eq!(
            fs::read_to_string(files.join("logo.svg")).unwrap(),
            "assets/logo.svg"
        );
        assert!(!files.join("passwd").exists());
    }
}

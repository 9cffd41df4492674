//! The files of a source, by name: is one that a tool misses there under another spelling, in another place, or kept out by a rule?

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use mainstay_diagnosis::{Cause, facts::Clue};

use crate::{dockerfile::IgnoreFile, source::SourceTree};

/// Files that are looked through.
const FILES_MAX: usize = 50_000;
/// The kernel reads no longer first line.
const FIRST_LINE_MAX: usize = 256;
const SKIPPED: &[&str] = &["node_modules", ".git", ".venv", "vendor", "target"];
const LOCK_FILES: &[&str] = &[
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
];

/// The files below source_dir, and the rules that keep some out.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceFiles {
    /// Relative to source_dir.
    paths: Vec<String>,
    /// File name in lower case → positions in `paths`.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Paths of the repository outside of source_dir, relative to the repository.
    outside: Vec<String>,
    /// source_dir within the repository; empty for its root.
    source_dir: String,
    git_rules: Vec<GitRules>,
    context_rules: Option<(String, IgnoreFile)>,
    /// Scripts whose first line ends in a carriage return, which is then part of the interpreter's name.
    crlf_scripts: BTreeSet<String>,
}

/// One `.gitignore`.
#[derive(Debug, Clone)]
struct GitRules {
    /// Its path in the repository.
    name: String,
    /// Its directory in the repository.
    directory: String,
    text: String,
    matcher: Gitignore,
}

impl SourceFiles {
    pub(super) fn read(repository: &SourceTree, tree: &SourceTree) -> Self {
        let source_dir = tree
            .path()
            .strip_prefix(repository.path())
            .unwrap_or(Path::new(""));
        let source_dir = source_dir.to_string_lossy().into_owned();
        let mut files = Self {
            source_dir,
            ..Self::default()
        };
        for path in paths_below(repository.path()) {
            if path == ".gitignore" || path.ends_with("/.gitignore") {
                files.git_rules.extend(GitRules::read(repository, &path));
            }
            match files.within(&path) {
                Some(inner) => files.paths.push(inner),
                None => files.outside.push(path),
            }
        }
        let is_crlf = |path: &&String| is_crlf_script(&tree.path().join(path));
        files.crlf_scripts = files.paths.iter().filter(is_crlf).cloned().collect();
        for (position, path) in files.paths.iter().enumerate() {
            files
                .by_name
                .entry(name_of(path).to_lowercase())
                .or_default()
                .push(position);
        }
        files
    }

    /// Why a program of the source cannot be started by its path.
    pub(super) fn program(&self, path: &str) -> (Cause, Option<Clue>) {
        match self.exactly(&Wanted::new(path, false)) {
            Some(found) if self.crlf_scripts.contains(found) => (Cause::CrlfInScript, None),
            _ => self.missing(path, false),
        }
    }

    fn within(&self, path: &str) -> Option<String> {
        if self.source_dir.is_empty() {
            return Some(path.to_owned());
        }
        let inner = path.strip_prefix(&self.source_dir)?.strip_prefix('/')?;
        Some(inner.to_owned())
    }

    pub(super) fn set_context_rules(&mut self, name: &str, text: &str) {
        self.context_rules = Some((name.to_owned(), IgnoreFile::parse(text)));
    }

    /// Why `path`, as a tool names it, is not there. With `any_ending` it may lack its ending, as modules do.
    pub(super) fn missing(&self, path: &str, any_ending: bool) -> (Cause, Option<Clue>) {
        let wanted = Wanted::new(path, any_ending);
        if wanted.name.is_empty() {
            return (Cause::FileMissing, None);
        }
        if let Some(found) = self.exactly(&wanted) {
            return match self.kept_out_of_context(found) {
                Some(clue) => (Cause::FileExcludedByIgnoreRule, Some(clue)),
                None => (
                    Cause::FileMissing,
                    Some(Clue::NotCopied {
                        path: found.to_owned(),
                    }),
                ),
            };
        }
        if let Some(actual) = self.but_for_case(&wanted) {
            return (
                Cause::FileNameCase,
                Some(Clue::SpeltAs {
                    actual: actual.to_owned(),
                }),
            );
        }
        let clue = wanted
            .ends()
            .find_map(|path| self.ignored(path))
            .or_else(|| self.elsewhere(&wanted));
        match clue {
            Some(clue) => (Cause::FileNotInBuildContext, Some(clue)),
            None => (Cause::FileMissing, None),
        }
    }

    /// The rule that keeps a file out: of the context if it is in the source, else of the repository.
    pub(super) fn ignored(&self, path: &str) -> Option<Clue> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        self.kept_out_of_context(path).or_else(|| {
            let in_repository = join(&self.source_dir, path);
            let rule = self
                .git_rules
                .iter()
                .rev()
                .find_map(|rules| rules.excluding(&in_repository))?;
            Some(Clue::IgnoredBy {
                path: path.to_owned(),
                rule,
            })
        })
    }

    fn kept_out_of_context(&self, path: &str) -> Option<Clue> {
        let (name, rules) = self.context_rules.as_ref()?;
        let rule = rules.excluded_by(path)?;
        Some(Clue::IgnoredBy {
            path: path.to_owned(),
            rule: format!("{name} line {}: {}", rule.line, rule.text),
        })
    }

    pub(super) fn other_lock_files(&self, names: &[&str]) -> Vec<String> {
        let others = LOCK_FILES.iter().filter(|file| !names.contains(file));
        others
            .filter(|file| self.paths.iter().any(|path| path == **file))
            .map(|file| (*file).to_owned())
            .collect()
    }

    /// The same path, or for an absolute one the longest end of it that is a path of the source.
    fn exactly(&self, wanted: &Wanted<'_>) -> Option<&str> {
        self.named(wanted)
            .filter(|path| wanted.fits(path))
            .find(|path| wanted.is_at(path))
    }

    fn but_for_case(&self, wanted: &Wanted<'_>) -> Option<&str> {
        if self.named(wanted).any(|path| wanted.fits(path)) {
            return None;
        }
        self.named(wanted).next()
    }

    /// In another place. A path with directories has to agree in the last of them: `dist/index.js` is not `src/index.js`.
    fn elsewhere(&self, wanted: &Wanted<'_>) -> Option<Clue> {
        if wanted.any_ending {
            return None;
        }
        let fits = |path: &&str| name_of(path) == wanted.name && wanted.may_lie_at(path);
        if let Some(path) = self.named(wanted).find(fits) {
            return Some(Clue::LiesAt {
                path: path.to_owned(),
            });
        }
        let path = self.outside.iter().find(|path| fits(&path.as_str()))?;
        Some(Clue::OutsideOfSource {
            path: path.clone(),
            source_dir: self.source_dir.clone(),
        })
    }

    /// Paths whose file name is the wanted one, whatever its case; the shallowest first.
    fn named<'a>(&'a self, wanted: &Wanted<'_>) -> impl Iterator<Item = &'a str> {
        let lower = wanted.name.to_lowercase();
        let mut found: Vec<&str> = match self.by_name.get(&lower) {
            Some(positions) => positions
                .iter()
                .map(|position| self.paths[*position].as_str())
                .collect(),
            None => Vec::new(),
        };
        if wanted.any_ending {
            let prefix = format!("{lower}.");
            let longer = self.by_name.range(prefix.clone()..);
            let longer = longer.take_while(|(name, _)| name.starts_with(&prefix));
            found.extend(
                longer
                    .flat_map(|(_, positions)| positions)
                    .map(|position| self.paths[*position].as_str()),
            );
        }
        found.sort_by_key(|path| path.matches('/').count());
        found.into_iter()
    }
}

/// A path as a tool names it.
#[derive(Debug)]
struct Wanted<'a> {
    path: String,
    name: &'a str,
    absolute: bool,
    any_ending: bool,
}

impl<'a> Wanted<'a> {
    fn new(path: &'a str, any_ending: bool) -> Self {
        let name = name_of(path);
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
        Self {
            path: parts.collect::<Vec<_>>().join("/"),
            name: if matches!(name, "." | "..") { "" } else { name },
            absolute: path.starts_with('/') || path.starts_with('.'),
            any_ending,
        }
    }

    /// The path, and for an absolute one its ends: only the container knows where in it the source lies.
    fn ends(&self) -> impl Iterator<Item = &str> {
        let count = if self.absolute { usize::MAX } else { 1 };
        let ends = self.path.match_indices('/').map(|(at, _)| &self.path[at + 1..]);
        std::iter::once(self.path.as_str()).chain(ends).take(count)
    }

    fn fits(&self, path: &str) -> bool {
        let name = name_of(path);
        name == self.name
            || (self.any_ending
                && name
                    .strip_prefix(self.name)
                    .is_some_and(|rest| rest.starts_with('.')))
    }

    /// Relative paths may count from any directory, absolute ones from one that only the container knows.
    fn is_at(&self, path: &str) -> bool {
        let directory = |path: &str| {
            path.rsplit_once('/')
                .map_or(String::new(), |(directory, _)| directory.to_owned())
        };
        let (own, other) = (directory(&self.path), directory(path));
        own == other || (self.absolute && (own.ends_with(&format!("/{other}")) || other.is_empty()))
    }

    fn may_lie_at(&self, path: &str) -> bool {
        let parent = |path: &str| path.rsplit('/').nth(1).map(str::to_owned);
        let own = parent(&self.path);
        self.absolute || own.is_none() || own == parent(path)
    }
}

impl GitRules {
    fn read(repository: &SourceTree, path: &str) -> Option<Self> {
        let text = repository.text(path)?;
        let directory = path.strip_suffix(".gitignore")?.trim_end_matches('/').to_owned();
        let mut builder = GitignoreBuilder::new("");
        for line in text.lines() {
            // A line that git would not understand either.
            let _ = builder.add_line(None, line);
        }
        Some(Self {
            name: path.to_owned(),
            directory,
            matcher: builder.build().ok()?,
            text,
        })
    }

    /// "web/.gitignore line 3: *.lock".
    fn excluding(&self, path: &str) -> Option<String> {
        let inner = if self.directory.is_empty() {
            path
        } else {
            path.strip_prefix(&self.directory)?.strip_prefix('/')?
        };
        let glob = self.matcher.matched_path_or_any_parents(inner, false);
        let glob = glob.inner().filter(|glob| !glob.is_whitelist())?;
        let line = self
            .text
            .lines()
            .position(|line| line.trim_end() == glob.original())?;
        Some(format!("{} line {}: {}", self.name, line + 1, glob.original()))
    }
}

/// Whether a file is a script whose first line ends in CR LF. Only what looks like a program is read.
fn is_crlf_script(path: &Path) -> bool {
    let named = path.extension().is_some_and(|ending| ending == "sh");
    let may_be = named
        || path
            .symlink_metadata()
            .is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0);
    let mut start = [0; FIRST_LINE_MAX];
    if !may_be {
        return false;
    }
    let Ok(length) = File::open(path).and_then(|mut file| file.read(&mut start)) else {
        return false;
    };
    let line = start[..length]
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    line.starts_with(b"#!") && line.ends_with(b"\r")
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() {
        path.to_owned()
    } else {
        format!("{directory}/{path}")
    }
}

fn paths_below(root: &Path) -> Vec<String> {
    let skipped = |name: &str| SKIPPED.contains(&name);
    walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            !(entry.file_type().is_dir() && entry.file_name().to_str().is_some_and(skipped))
        })
        .flatten()
        .take(FILES_MAX)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(paths: &[(&str, &str)], source_dir: &str) -> SourceFiles {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in paths {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let repository = SourceTree::open(directory.path()).unwrap();
        SourceFiles::read(&repository, &repository.below(source_dir).unwrap())
    }

    fn rule(clue: Option<Clue>) -> String {
        match clue {
            Some(Clue::IgnoredBy { rule, .. }) => rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_ignored_file_names_the_rule_with_its_line() {
        let paths = [
            (".gitignore", "# locks\n\n*.lock\n!keep.lock\n/dist/\n"),
            ("web/.gitignore", "package-lock.json\n"),
            ("web/a", ""),
        ];
        let files = files(&paths, "web");
        assert_eq!(rule(files.ignored("yarn.lock")), ".gitignore line 3: *.lock");
        assert_eq!(
            rule(files.ignored("package-lock.json")),
            "web/.gitignore line 1: package-lock.json"
        );
        assert_eq!(
            rule(files.missing("/workspace/web/yarn.lock", false).1),
            ".gitignore line 3: *.lock"
        );
        assert_eq!(files.ignored("keep.lock"), None);
        assert_eq!(
            files.ignored("dist/x.js"),
            None,
            "anchored at the root of the repository"
        );
    }

    #[test]
    fn a_file_of_the_context_that_a_rule_keeps_out_names_it() {
        let mut files = files(&[("deploy/config.toml", "")], "");
        files.set_context_rules(".dockerignore", "\ndeploy/\n");
        let (cause, clue) = files.missing("/app/deploy/config.toml", false);
        assert_eq!(cause, Cause::FileExcludedByIgnoreRule);
        assert_eq!(rule(clue), ".dockerignore line 2: deploy/");
    }

    #[test]
    fn another_spelling_and_another_place_are_found() {
        let files = files(
            &[
                ("web/src/Countymap.js", ""),
                ("web/backend/main.py", ""),
                ("shared/schema.sql", ""),
            ],
            "web",
        );
        let actual = "src/Countymap.js".to_owned();
        assert_eq!(
            files.missing("./CountyMap", true),
            (Cause::FileNameCase, Some(Clue::SpeltAs { actual }))
        );
        let path = "backend/main.py".to_owned();
        assert_eq!(
            files.missing("main.py", false),
            (Cause::FileNotInBuildContext, Some(Clue::LiesAt { path }))
        );
        let outside = Clue::OutsideOfSource {
            path: "shared/schema.sql".to_owned(),
            source_dir: "web".to_owned(),
        };
        assert_eq!(
            files.missing("schema.sql", false),
            (Cause::FileNotInBuildContext, Some(outside))
        );
        assert_eq!(
            files.missing("dist/main.py", false),
            (Cause::FileMissing, None),
            "another directory's file"
        );
        assert_eq!(files.missing("./Other", true), (Cause::FileMissing, None));
    }

    #[test]
    fn a_script_with_windows_line_ends_is_recognised() {
        let files = files(
            &[
                ("build.sh", "#!/bin/sh\r\necho\r\n"),
                ("good.sh", "#!/bin/sh\necho\n"),
            ],
            "",
        );
        assert_eq!(files.program("/build.sh"), (Cause::CrlfInScript, None));
        assert_eq!(files.program("./good.sh").0, Cause::FileMissing);
    }

    #[test]
    fn a_file_that_is_in_the_source_was_not_copied() {
        let files = files(&[("package.json", "")], "");
        let path = "package.json".to_owned();
        assert_eq!(
            files.missing("/app/package.json", false),
            (Cause::FileMissing, Some(Clue::NotCopied { path }))
        );
    }
}

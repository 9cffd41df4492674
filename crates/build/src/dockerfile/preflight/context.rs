//! Do the files that instructions name exist in the build context, and does an ignore rule hide them?

use std::{fs, path::Path};

use mainstay_diagnosis::facts::BuildFault;

use super::plan::{ContextUse, Plan};
use crate::{
    dockerfile::{
        ignore_file::{IgnoreFile, matches_part},
        paths::clean_relative,
    },
    findings::FindingContext,
};

/// The context as instructions see it.
#[derive(Debug)]
pub(crate) struct ContextView<'a> {
    pub root: &'a Path,
    /// For messages: "/" or "web".
    pub name: &'a str,
    pub ignore: &'a IgnoreFile,
    /// For messages: ".dockerignore".
    pub ignore_name: &'a str,
    /// Knows the whole source.
    pub findings: &'a FindingContext,
}

/// What became of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Present,
    Missing,
    Ignored { rule: String },
}

/// Checks every instruction that takes files from the context. An instruction is refused when a plain path is missing, or when none of
/// its patterns matches anything.
pub(crate) fn check_context(plan: &Plan, view: &ContextView<'_>) -> Result<(), BuildFault> {
    for use_ in &plan.context_uses {
        if let Some((source, found)) = first_missing(use_, view) {
            return Err(view.fault(plan, use_, &source, found));
        }
    }
    Ok(())
}

fn first_missing(use_: &ContextUse, view: &ContextView<'_>) -> Option<(String, Source)> {
    let mut pattern_without_match = None;
    let mut any_pattern_matches = false;
    for source in &use_.sources {
        let found = view.look_up(source);
        if !is_pattern(source) {
            if found != Source::Present {
                return Some((source.clone(), found));
            }
            any_pattern_matches = true;
        } else if found == Source::Present {
            any_pattern_matches = true;
        } else {
            pattern_without_match.get_or_insert((source.clone(), found));
        }
    }
    pattern_without_match.filter(|_| !any_pattern_matches)
}

fn is_pattern(source: &str) -> bool {
    source.contains(['*', '?', '['])
}

impl ContextView<'_> {
    fn look_up(&self, source: &str) -> Source {
        let clean = clean_relative(source);
        if clean.is_empty() {
            return Source::Present;
        }
        if !is_pattern(&clean) {
            return self.look_up_plain(&clean);
        }
        let mut last = Source::Missing;
        for path in self.matches(&clean) {
            match self.look_up_plain(&path) {
                Source::Present => return Source::Present,
                other => last = other,
            }
        }
        last
    }

    fn look_up_plain(&self, path: &str) -> Source {
        let on_disk = self.root.join(path);
        if fs::symlink_metadata(&on_disk).is_err() {
            return Source::Missing;
        }
        match self.ignore.excluded_by(path) {
            Some(rule) if !(on_disk.is_dir() && self.ignore.may_reinclude_below(path)) => Source::Ignored {
                rule: format!("{} line {}: {}", self.ignore_name, rule.line, rule.text),
            },
            _ => Source::Present,
        }
    }

    /// Paths that match the pattern, part by part; only directories on the way are read.
    fn matches(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/') {
            found = found
                .iter()
                .flat_map(|parent| self.children(parent, part))
                .collect();
        }
        found
    }

    fn children(&self, parent: &str, part: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(parent)) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| matches_part(part, name))
            .map(|name| {
                if parent.is_empty() {
                    name
                } else {
                    format!("{parent}/{name}")
                }
            })
            .collect()
    }

    fn fault(&self, plan: &Plan, use_: &ContextUse, source: &str, found: Source) -> BuildFault {
        let (message, ignored_by, clue) = match found {
            Source::Ignored { rule } => (
                format!("`{source}` exists, but {rule} keeps it out of the build context"),
                Some(rule),
                None,
            ),
            _ => (
                format!("`{source}` is not in the build context `{}`", self.name),
                None,
                self.findings.why_not_in_context(source),
            ),
        };
        BuildFault::DockerfileInstruction {
            path: plan.path.clone(),
            line: Some(use_.line),
            instruction: use_.instruction.clone(),
            message,
            missing: Some(source.to_owned()),
            ignored_by,
            clue,
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_diagnosis::facts::Clue;

    use super::*;
    use crate::{
        dockerfile::preflight::{PreflightInput, preflight},
        source::SourceTree,
    };

    fn fault(dockerfile: &str, ignore: &str) -> Option<(String, Option<String>, Option<Clue>)> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("deploy")).unwrap();
        fs::create_dir_all(dir.path().join("backend")).unwrap();
        fs::write(dir.path().join("deploy/config.toml"), "").unwrap();
        fs::write(dir.path().join("backend/main.py"), "").unwrap();
        fs::write(dir.path().join("app.js"), "").unwrap();
        let plan = preflight(&PreflightInput {
            path: "Dockerfile",
            text: dockerfile,
            architecture: "amd64",
            variables: &std::collections::BTreeMap::new(),
            target: None,
        })
        .unwrap();
        let tree = SourceTree::open(dir.path()).unwrap();
        let view = ContextView {
            root: dir.path(),
            name: "/",
            ignore: &IgnoreFile::parse(ignore),
            ignore_name: ".dockerignore",
            findings: &FindingContext::read(&tree, &tree, []),
        };
        match check_context(&plan, &view) {
            Ok(()) => None,
            Err(BuildFault::DockerfileInstruction {
                message,
                ignored_by,
                clue,
                ..
            }) => Some((message, ignored_by, clue)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_file_says_where_one_of_its_name_is() {
        let path = "backend/main.py".to_owned();
        assert_eq!(
            fault("FROM a\nCOPY /main.py /app/\n", ""),
            Some((
                "`/main.py` is not in the build context `/`".to_owned(),
                None,
                Some(Clue::LiesAt { path })
            ))
        );
        assert_eq!(fault("FROM a\nCOPY nothing /app/\n", "").unwrap().2, None);
        let actual = "backend/main.py".to_owned();
        assert_eq!(
            fault("FROM a\nCOPY backend/Main.py /app/\n", "").unwrap().2,
            Some(Clue::SpeltAs { actual })
        );
    }

    #[test]
    fn an_ignored_file_names_the_rule() {
        let (message, rule, _) = fault("FROM a\nCOPY deploy/config.toml /c\n", "\ndeploy/\n").unwrap();
        assert_eq!(rule.as_deref(), Some(".dockerignore line 2: deploy/"));
        assert!(message.contains("exists"), "{message}");
    }

    #[test]
    fn patterns_need_one_match_only() {
        assert_eq!(fault("FROM a\nCOPY app.js *.lock /c/\n", ""), None);
        assert_eq!(fault("FROM a\nCOPY */main.py /c/\n", ""), None);
        assert!(fault("FROM a\nCOPY *.lock /c/\n", "").is_some());
    }

    #[test]
    fn the_whole_context_and_bind_mounts_are_fine() {
        assert_eq!(fault("FROM a\nCOPY . /c/\nADD http://host/x /x\n", "*"), None);
        assert_eq!(
            fault("FROM a\nRUN --mount=type=bind,source=backend,target=/b ls\n", ""),
            None
        );
        assert!(fault("FROM a\nRUN --mount=type=bind,source=nope,target=/b ls\n", "").is_some());
    }
}

//! House rules that no lint knows: file length, module docs, open ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::command::root;

const LINES_MAX: usize = 600;

pub(crate) fn tidy() -> Result<(), String> {
    let mut files = Vec::new();
    for directory in ["crates", "e2e", "xtask"] {
        collect(&root().join(directory), &mut files)?;
    }
    let complaints: Vec<String> = files.iter().flat_map(|file| complaints(file)).collect();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let listed = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for entry in listed.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn complaints(file: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(file) else {
        return vec![format!("{}: cannot be read", file.display())];
    };
    let name = file.strip_prefix(root()).unwrap_or(file).display();
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!("{name}: {lines} lines; split it by {LINES_MAX}"));
    }
    if !text.starts_with("//!") && !text.starts_with("#!") {
        complaints.push(format!("{name}: begins without module docs (`//!`)"));
    }
    let open_end = concat!("TO", "DO");
    let names_issue = format!("{open_end}(#");
    for (number, line) in text.lines().enumerate() {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        if comment.contains(open_end) && !comment.contains(&names_issue) {
            complaints.push(format!("{name}:{}: {open_end} names no issue", number + 1));
        }
    }
    complaints
}

//! Executables with a similar name: what somebody may have meant.

use std::path::Path;

use mainstay_images::tree::TreeError;

use super::{View, permission};

const MATCHES_MAX: usize = 5;

/// Best first.
pub(super) fn close_matches(view: &View<'_>, name: &str) -> Result<Vec<String>, TreeError> {
    let wanted = Path::new(name)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut found: Vec<(usize, String)> = Vec::new();
    if let Some((directory, _)) = name.rsplit_once('/') {
        let shown = |file: &str| format!("{directory}/{file}");
        collect(
            view,
            &view.working_dir.join(directory),
            &wanted,
            &shown,
            &mut found,
        )?;
    } else {
        for directory in view.path_directories() {
            collect(view, &directory, &wanted, &str::to_owned, &mut found)?;
        }
        // A script beside the app is often meant without its `./`.
        let shown = |file: &str| format!("./{file}");
        collect(view, &view.working_dir, &wanted, &shown, &mut found)?;
    }
    found.sort();
    found.dedup_by(|one, other| one.1 == other.1);
    Ok(found
        .into_iter()
        .take(MATCHES_MAX)
        .map(|(_, shown)| shown)
        .collect())
}

fn collect(
    view: &View<'_>,
    directory: &Path,
    wanted: &str,
    shown: &dyn Fn(&str) -> String,
    found: &mut Vec<(usize, String)>,
) -> Result<(), TreeError> {
    for name in view.tree.list(directory)?.unwrap_or_default() {
        let Some(name) = name.to_str() else {
            continue;
        };
        let distance = strsim::damerau_levenshtein(name, wanted);
        if !is_close(distance, name, wanted) {
            continue;
        }
        let node = view.tree.find(&directory.join(name))?;
        if node.is_some_and(|node| permission::may_execute(&node.metadata, &view.user)) {
            found.push((distance, shown(name)));
        }
    }
    Ok(())
}

/// One slip in three letters, or a version behind the same name (`python` and `python3`).
fn is_close(distance: usize, name: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return false;
    }
    let letters = wanted.chars().count();
    let versioned = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_digit() || b".-".contains(&byte))
        })
    };
    distance <= letters.div_ceil(3).min(3) && distance < letters
        || versioned(name, wanted)
        || versioned(wanted, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(name: &str, wanted: &str) -> bool {
        is_close(strsim::damerau_levenshtein(name, wanted), name, wanted)
    }

    #[test]
    fn slips_and_versions_are_close_and_other_names_are_not() {
        assert!(close("gunicorn", "gunicron"));
        assert!(close("python3.11", "python"));
        assert!(close("node", "nod"));
        assert!(!close("ls", "gunicorn"));
        assert!(!close("sh", "ab"));
        assert!(!close("anything", ""));
    }
}

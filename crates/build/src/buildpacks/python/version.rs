//! Which Python the app asks for.

use crate::source::SourceTree;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// "3.12", "3.12.4".
    pub(super) version: String,
    pub(super) declared_in: String,
}

/// `.python-version`, `runtime.txt`, then Pipenv's lock file; `requires-python` is left to uv, which says more about it.
pub(super) fn wished(tree: &SourceTree) -> Option<Wish> {
    let from = |file: &str, parse: fn(&str) -> Option<String>| {
        let version = parse(&tree.text(file)?)?;
        Some(Wish {
            version,
            declared_in: file.to_owned(),
        })
    };
    from(".python-version", python_version_file)
        .or_else(|| from("runtime.txt", runtime_file))
        .or_else(|| from("Pipfile.lock", pipfile_lock))
}

/// The first line that is neither empty nor a comment, as pyenv and uv read it.
fn python_version_file(text: &str) -> Option<String> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(
        line.trim_start_matches("cpython-")
            .trim_start_matches("python-")
            .to_owned(),
    )
}

fn runtime_file(text: &str) -> Option<String> {
    text.trim().strip_prefix("python-").map(str::to_owned)
}

fn pipfile_lock(text: &str) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_str(text).ok()?;
    let requires = lock.get("_meta")?.get("requires")?;
    let version = requires
        .get("python_full_version")
        .or_else(|| requires.get("python_version"))?;
    version.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_each_file() {
        assert_eq!(
            python_version_file("# pinned\n3.12.4\n").as_deref(),
            Some("3.12.4")
        );
        assert_eq!(runtime_file("python-3.11.9\r\n").as_deref(), Some("3.11.9"));
        assert_eq!(
            pipfile_lock(r#"{"_meta": {"requires": {"python_version": "3.11"}}}"#).as_deref(),
            Some("3.11")
        );
    }
}

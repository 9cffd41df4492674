//! Names of an archive's entries: which are taken, which are passed over, which end the upload.

use super::UnpackFailure;

const DEPTH_MAX: usize = 64;
const LENGTH_MAX: usize = 2048;

/// An entry's place below the target: no `.`, no `..`, no empty part. `None` for the root itself and for what lies in `.git`.
pub(super) fn checked(name: &[u8]) -> Result<Option<String>, UnpackFailure> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let Ok(text) = std::str::from_utf8(name) else {
        return Err(UnpackFailure::refused(shown, "file names are UTF-8"));
    };
    if text.starts_with('/') {
        return Err(UnpackFailure::refused(shown, "names in an upload are relative"));
    }
    if text.contains('\0') || text.contains('\\') || text.len() > LENGTH_MAX {
        return Err(UnpackFailure::refused(
            shown,
            "names hold no NUL and no backslash, and at most 2048 bytes",
        ));
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(UnpackFailure::refused(
            shown,
            "names in an upload do not lead out of it",
        ));
    }
    if parts.len() > DEPTH_MAX {
        return Err(UnpackFailure::refused(
            shown,
            "directories are nested at most 64 deep",
        ));
    }
    let is_taken = !parts.is_empty() && parts.first() != Some(&".git");
    Ok(is_taken.then(|| parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_brought_to_one_form() {
        assert_eq!(checked(b"./a//b/").unwrap().as_deref(), Some("a/b"));
        assert_eq!(checked(b"./").unwrap(), None);
        assert_eq!(checked(b".git/config").unwrap(), None);
        assert_eq!(checked(b".gitignore").unwrap().as_deref(), Some(".gitignore"));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in [&b"../a"[..], b"a/../../b", b"/etc/passwd", b"a\\..\\b", b"a\xff"] {
            assert!(checked(name).is_err(), "{}", String::from_utf8_lossy(name));
        }
    }
}

//! The file that the contexts are kept in. It has tokens: only its owner may read it.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Contexts, reading};
use crate::error::CliError;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Where the contexts are kept.
#[derive(Debug, Clone)]
pub(crate) struct ContextFile {
    path: PathBuf,
}

impl ContextFile {
    /// The file of this user.
    ///
    /// # Errors
    /// The environment does not say where users have their files.
    pub(crate) fn of_user() -> Result<Self, CliError> {
        let directory = directory(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"));
        let directory = directory.ok_or_else(|| {
            CliError::Usage("neither XDG_CONFIG_HOME nor HOME says where contexts are kept".into())
        })?;
        Ok(Self {
            path: directory.join("mainstay/config.yaml"),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known; nothing, where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or not understood: then with line and field.
    pub(crate) fn read(&self) -> Result<Contexts, CliError> {
        let failed = || CliError::io(format!("read {}", self.path.display()));
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if is_absence(&error) => return Ok(Contexts::default()),
            Err(error) => return Err(failed()(error)),
        };
        self.close_to_others().map_err(failed())?;
        reading::read(&text).map_err(|mistake| CliError::Contexts {
            file: self.path.clone(),
            line: mistake.line,
            problem: mistake.problem,
        })
    }

    /// Puts them there, whole or not at all.
    pub(crate) fn write(&self, contexts: &Contexts) -> Result<(), CliError> {
        // Where it is a link, what it leads to is replaced.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let text = serde_saphyr::to_string(contexts).expect("text keys and text values can be written");
        write(&path, &text).map_err(CliError::io(format!("write {}", path.display())))
    }

    /// Somebody may have copied it there with what modes he had.
    fn close_to_others(&self) -> io::Result<()> {
        let mode = fs::metadata(&self.path)?.permissions().mode();
        if mode & OTHERS != 0 {
            eprintln!(
                "warning: others could read the tokens in {}; it is closed to them now",
                self.path.display()
            );
            fs::set_permissions(&self.path, Permissions::from_mode(FILE_MODE))?;
        }
        Ok(())
    }
}

/// As the XDG base directories are: what is not absolute does not count.
fn directory(config_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    config_home
        .and_then(absolute)
        .or_else(|| Some(home.and_then(absolute)?.join(".config")))
}

/// A directory that is a file has nothing in it, either.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)?;
    }
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let written = write_draft(&draft, text).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // It may not even be there.
        fs::remove_file(&draft).ok();
    }
    written
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(draft)?;
    // A draft that was left there has the mode that it was made with.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{super::Context, *};

    fn known() -> Contexts {
        let mut contexts = Contexts::default();
        let context = Context {
            url: "https://h".into(),
            token: "mst_1".into(),
            ca_file: None,
            account: None,
        };
        contexts.put("prod", context).unwrap();
        contexts
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_where_xdg_says() {
        let found = |config: Option<&str>, home: Option<&str>| {
            directory(config.map(OsString::from), home.map(OsString::from))
        };
        assert_eq!(found(Some("/c"), Some("/h")), Some("/c".into()));
        assert_eq!(found(None, Some("/h")), Some("/h/.config".into()));
        assert_eq!(found(Some("c"), Some("/h")), Some("/h/.config".into()));
        assert_eq!(found(Some(""), None), None);
    }

    #[test]
    fn it_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/mainstay/config.yaml");
        let file = ContextFile { path: path.clone() };
        assert_eq!(file.read().unwrap(), Contexts::default());
        file.write(&known()).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.read().unwrap(), known());
        assert_eq!(mode(&path), 0o600);
        let entries = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1, "no draft is left");
    }

    #[test]
    fn a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real.yaml");
        let path = directory.path().join("config.yaml");
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let file = ContextFile { path: path.clone() };
        file.write(&known()).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(file.read().unwrap(), known());
    }

    #[test]
    fn mistakes_name_the_file_the_line_and_the_field() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        fs::write(&path, "contexts:\n  prod:\n    url: https://h\n    token: 7\n").unwrap();
        let file = ContextFile { path: path.clone() };
        assert_eq!(
            file.read().unwrap_err().to_string(),
            format!(
                "{}, line 4: contexts.prod.token: must be text, and is a number",
                path.display()
            )
        );
    }
}

//! A fault: a folder of `e2e/faults/`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use mainstay_spec::{Format, Sources};
use tempfile::TempDir;
use walkdir::WalkDir;

use super::expect::{Expect, Oddity};

const SPEC: &str = ".do/app.yaml";

/// One app, and what must be said about it.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Of its folder.
    pub name: String,
    pub expect: Expect,
    directory: PathBuf,
}

impl Fault {
    /// All of `e2e/faults/`, by name.
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults");
        let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let mut directories: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a listing of our own sources").path())
            .filter(|path| path.is_dir())
            .collect();
        directories.sort();
        directories.into_iter().map(Self::read).collect()
    }

    fn read(directory: PathBuf) -> Self {
        let file = directory.join("expect.toml");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let expect = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = directory.file_name().expect("it was listed").to_string_lossy();
        Self {
            name: name.into_owned(),
            expect,
            directory,
        }
    }

    /// The version that serves before the fault comes, if it has one of its own.
    pub fn before(&self, app: &str) -> Option<TempDir> {
        let before = self.directory.join("before");
        before.is_dir().then(|| copy(&before, app, &Expect::none()))
    }

    /// Whether it needs an app of its own: it has a version before, or becomes ACTIVE itself.
    pub fn needs_own_app(&self) -> bool {
        !self.expect.fails() || self.directory.join("before").is_dir()
    }

    /// The app's folder, as a user would have it; it goes with the guard.
    pub fn folder(&self, app: &str) -> TempDir {
        copy(&self.directory.join("app"), app, &self.expect)
    }

    /// What is wrong with the fault's own folder.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.expect.complaints().into_iter().map(str::to_owned).collect();
        for version in ["app", "before"] {
            let directory = self.directory.join(version);
            if version == "app" || directory.is_dir() {
                complaints
                    .extend(complaint(&directory).map(|complaint| format!("{version}/{SPEC}: {complaint}")));
            }
        }
        complaints
    }
}

/// What is wrong with the spec of one version.
fn complaint(directory: &Path) -> Option<String> {
    let text = match fs::read_to_string(directory.join(SPEC)) {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    if renamed(&text, "x").is_none() {
        return Some("has no line `name: …`".to_owned());
    }
    let errors = mainstay_spec::parse_with(&text, Format::Yaml, Sources::Optional).err()?;
    Some(mainstay_spec::render_errors(errors.as_slice(), SPEC))
}

/// Those whose name has one of these words, or one of these classes (`H3`); all without a word.
pub fn chosen(filters: &[String]) -> Vec<Fault> {
    let fits = |fault: &Fault| {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| fault.name.contains(filter.as_str()) || fault.expect.classes.contains(filter))
    };
    Fault::all().into_iter().filter(fits).collect()
}

/// Links of sources would be followed by some tools: what is deployed is a copy.
fn copy(from: &Path, app: &str, expect: &Expect) -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("mainstay-e2e-app-")
        .tempdir()
        .expect("the temporary directory is writable");
    for entry in WalkDir::new(from).min_depth(1) {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let path = entry.path().strip_prefix(from).expect("it was found there");
        let to = directory.path().join(path);
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).expect("our own directory");
        } else {
            fs::copy(entry.path(), to).expect("our own directory");
        }
    }
    let spec = directory.path().join(SPEC);
    let text = fs::read_to_string(&spec).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    let text = renamed(&text, app).expect("a test checks that it has a name");
    fs::write(&spec, text).expect("our own directory");
    for (path, oddity) in &expect.files {
        make_odd(&directory.path().join(path), oddity);
    }
    directory
}

/// The spec with this name for the app.
fn renamed(spec: &str, app: &str) -> Option<String> {
    let old = spec.lines().find(|line| line.starts_with("name: "))?;
    Some(spec.replacen(old, &format!("name: {app}"), 1))
}

fn make_odd(path: &Path, oddity: &Oddity) {
    let parent = path.parent().expect("it lies in a directory");
    fs::create_dir_all(parent).expect("our own directory");
    if let Some(target) = &oddity.symlink_to {
        symlink(target, path).expect("our own directory");
        return;
    }
    if let Some(hex) = &oddity.hex {
        let digits: String = hex.split_whitespace().collect();
        let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes());
        fs::write(path, bytes.expect("hex digits in pairs")).expect("our own directory");
    }
    if let Some(length) = oddity.zeros {
        let file = fs::File::create(path).expect("our own directory");
        file.set_len(length).expect("our own directory");
    }
    if oddity.crlf {
        let text = fs::read_to_string(path).expect("a text file");
        fs::write(path, text.replace('\n', "\r\n")).expect("our own directory");
    }
    if let Some(mode) = &oddity.mode {
        let mode = u32::from_str_radix(mode, 8).expect("an octal number");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_is_a_fault() {
        let faults = Fault::all();
        let wrong: Vec<String> = faults
            .iter()
            .flat_map(|fault| {
                let complaints = fault.complaints().into_iter();
                complaints.map(|complaint| format!("{}: {complaint}", fault.name))
            })
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
        for fault in faults {
            assert!(fault.folder("shop").path().join(SPEC).is_file(), "{}", fault.name);
        }
    }

    #[test]
    fn the_app_gets_the_name_that_it_is_deployed_under() {
        let spec = "# A comment.\nname: sample\nservices:\n- name: web\n";
        let renamed = renamed(spec, "shop").unwrap();
        assert_eq!(renamed, "# A comment.\nname: shop\nservices:\n- name: web\n");
    }

    #[test]
    fn odd_files_are_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bin/start.sh");
        let oddity = Oddity {
            hex: Some("23 21".into()),
            mode: Some("0640".into()),
            ..Oddity::default()
        };
        make_odd(&path, &oddity);
        assert_eq!(fs::read(&path).unwrap(), b"#!");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }
}

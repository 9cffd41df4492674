//! The files of an image as its processes would see them: layer directories looked at from the top, whiteouts and opaque directories
//! honoured, symbolic links followed within the image and never out of it.
//!
//! Nothing is mounted. Whoever wants one file of an image (a user's id, a command's interpreter) reads it from here.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

use rustix::{fs::lgetxattr, io::Errno};

/// As many symbolic links as the kernel follows in one path (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Set on a directory that hides what the layers below have at its place (kernel documentation, overlayfs).
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

/// Layer directories, seen as one tree.
#[derive(Debug, Clone)]
pub struct LayerTree {
    top_first: Vec<PathBuf>,
}

/// A file of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its path inside, absolute and without symbolic links.
    pub path: PathBuf,
    /// Where it lies on this machine; for a directory, its topmost part.
    pub host_path: PathBuf,
    pub metadata: Metadata,
}

/// The tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("cannot {operation} {}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("too many symbolic links in {}", .0.display())]
    TooManyLinks(PathBuf),
}

/// A directory of the tree: the directories of the layers that it is merged from, top first.
#[derive(Debug, Clone)]
struct Merged {
    path: PathBuf,
    parts: Vec<PathBuf>,
}

/// What a name in a directory leads to.
#[derive(Debug)]
enum Found {
    Nothing,
    Directory(Merged),
    Other(Node),
}

/// Where a walk has come to.
#[derive(Debug)]
enum Place {
    Directory(Merged),
    Other(Node),
}

impl LayerTree {
    /// From layer directories, bottom first.
    pub fn new(bottom_first: &[PathBuf]) -> Self {
        Self {
            top_first: bottom_first.iter().rev().cloned().collect(),
        }
    }

    /// The file at a path, symbolic links followed; `None` when there is none. Relative paths start at the root.
    pub fn find(&self, path: &Path) -> Result<Option<Node>, TreeError> {
        self.walk(path)?.map(Place::into_node).transpose()
    }

    /// The names in a directory, sorted; `None` when it is no directory.
    pub fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, TreeError> {
        match self.walk(path)? {
            Some(Place::Directory(directory)) => directory.names().map(Some),
            _ => Ok(None),
        }
    }

    /// The first `limit` bytes of a regular file; `None` when there is no such file.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        match self.find(path)? {
            Some(node) if node.metadata.is_file() => node.read(limit).map(Some),
            _ => Ok(None),
        }
    }

    fn root(&self) -> Merged {
        Merged {
            path: PathBuf::from("/"),
            parts: self.top_first.clone(),
        }
    }

    fn walk(&self, path: &Path) -> Result<Option<Place>, TreeError> {
        let mut pending: VecDeque<OsString> = components(path);
        // The way back for `..`: a link may have led anywhere.
        let mut trail = vec![self.root()];
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            let here = trail.last().expect("the root is never left");
            if name == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            match here.step(&name)? {
                Found::Nothing => return Ok(None),
                Found::Directory(directory) => trail.push(directory),
                Found::Other(node) if node.metadata.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(TreeError::TooManyLinks(path.to_owned()));
                    }
                    let target =
                        fs::read_link(&node.host_path).map_err(io_error("read the link", &node.host_path))?;
                    if target.is_absolute() {
                        trail.truncate(1);
                    }
                    for component in components(&target).into_iter().rev() {
                        pending.push_front(component);
                    }
                }
                Found::Other(node) => return Ok(pending.is_empty().then_some(Place::Other(node))),
            }
        }
        Ok(trail.pop().map(Place::Directory))
    }
}

impl Place {
    fn into_node(self) -> Result<Node, TreeError> {
        match self {
            Self::Other(node) => Ok(node),
            Self::Directory(directory) => directory.into_node(),
        }
    }
}

impl Node {
    /// The first `limit` bytes.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, TreeError> {
        let mut bytes = Vec::new();
        File::open(&self.host_path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(io_error("read", &self.host_path))?;
        Ok(bytes)
    }
}

impl Merged {
    fn step(&self, name: &OsStr) -> Result<Found, TreeError> {
        let mut parts = Vec::new();
        for part in &self.parts {
            let host_path = part.join(name);
            let metadata = match fs::symlink_metadata(&host_path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("look at", &host_path)(error)),
            };
            if is_whiteout(&metadata) {
                break;
            }
            if metadata.is_dir() {
                let opaque = is_opaque(&host_path)?;
                parts.push(host_path);
                if opaque {
                    break;
                }
            } else if parts.is_empty() {
                let path = self.path.join(name);
                return Ok(Found::Other(Node {
                    path,
                    host_path,
                    metadata,
                }));
            } else {
                // A directory above hides a file below.
                break;
            }
        }
        if parts.is_empty() {
            return Ok(Found::Nothing);
        }
        Ok(Found::Directory(Self {
            path: self.path.join(name),
            parts,
        }))
    }

    fn names(&self) -> Result<Vec<OsString>, TreeError> {
        let mut names: BTreeMap<OsString, bool> = BTreeMap::new();
        for part in &self.parts {
            let entries = fs::read_dir(part).map_err(io_error("list", part))?;
            for entry in entries {
                let entry = entry.map_err(io_error("list", part))?;
                let metadata = entry.metadata().map_err(io_error("look at", &entry.path()))?;
                names.entry(entry.file_name()).or_insert(!is_whiteout(&metadata));
            }
        }
        Ok(names
            .into_iter()
            .filter(|(_, visible)| *visible)
            .map(|(name, _)| name)
            .collect())
    }

    fn into_node(self) -> Result<Node, TreeError> {
        let host_path = self.parts.into_iter().next().unwrap_or_default();
        let metadata = fs::metadata(&host_path).map_err(io_error("look at", &host_path))?;
        Ok(Node {
            path: self.path,
            host_path,
            metadata,
        })
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(directory: &Path) -> Result<bool, TreeError> {
    let mut value = [0; 4];
    match lgetxattr(directory, OPAQUE_ATTRIBUTE, &mut value) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(io_error("look at", directory)(error.into())),
    }
}

fn io_error<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> TreeError + use<'a> {
    move |source| TreeError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

    use super::*;

    struct Layers {
        _root: tempfile::TempDir,
        directories: Vec<PathBuf>,
    }

    /// Layers from lists of (path, content); a path with a slash at its end is a directory.
    fn layers(contents: &[&[(&str, &str)]]) -> Layers {
        let root = tempfile::tempdir().unwrap();
        let mut directories = Vec::new();
        for (number, files) in contents.iter().enumerate() {
            let directory = root.path().join(number.to_string());
            fs::create_dir(&directory).unwrap();
            for (path, content) in *files {
                let path = directory.join(path);
                if path.as_os_str().as_bytes().ends_with(b"/") {
                    fs::create_dir_all(&path).unwrap();
                } else {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, content).unwrap();
                }
            }
            directories.push(directory);
        }
        Layers {
            _root: root,
            directories,
        }
    }

    fn whiteout(path: &Path) {
        mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    }

    fn read(tree: &LayerTree, path: &str) -> Option<String> {
        let bytes = tree.read(Path::new(path), 1000).unwrap()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn upper_layers_hide_lower_ones_and_directories_merge() {
        let layers = layers(&[
            &[("etc/passwd", "low"), ("etc/group", "low")],
            &[("etc/passwd", "high"), ("bin/sh", "sh")],
        ]);
        let tree = LayerTree::new(&layers.directories);
        assert_eq!(read(&tree, "/etc/passwd").as_deref(), Some("high"));
        assert_eq!(read(&tree, "/etc/group").as_deref(), Some("low"));
        assert_eq!(
            tree.list(Path::new("/etc")).unwrap().unwrap(),
            ["group", "passwd"]
        );
        assert_eq!(tree.list(Path::new("/")).unwrap().unwrap(), ["bin", "etc"]);
        assert_eq!(tree.list(Path::new("/etc/passwd")).unwrap(), None);
    }

    #[test]
    fn whiteouts_and_opaque_directories_hide_what_is_below() {
        let layers = layers(&[
            &[("app/old", "x"), ("opt/a/file", "x"), ("opt/b", "x")],
            &[("opt/a/new", "x")],
        ]);
        whiteout(&layers.directories[1].join("app"));
        lsetxattr(
            layers.directories[1].join("opt/a"),
            OPAQUE_ATTRIBUTE,
            b"y",
            XattrFlags::empty(),
        )
        .unwrap();
        let tree = LayerTree::new(&layers.directories);
        assert_eq!(read(&tree, "/app/old"), None);
        assert_eq!(read(&tree, "/opt/a/file"), None);
        assert_eq!(read(&tree, "/opt/a/new").as_deref(), Some("x"));
        assert_eq!(read(&tree, "/opt/b").as_deref(), Some("x"));
        assert_eq!(tree.list(Path::new("/")).unwrap().unwrap(), ["opt"]);
    }

    #[test]
    fn links_are_followed_within_the_tree() {
        let layers = layers(&[&[("usr/bin/tool", "x"), ("a/b/", "")], &[("secret", "top")]]);
        let top = &layers.directories[1];
        symlink("usr/bin", top.join("bin")).unwrap();
        symlink("/bin/tool", top.join("absolute")).unwrap();
        symlink("../../../../secret", top.join("out")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        let tree = LayerTree::new(&layers.directories);
        let node = tree.find(Path::new("/absolute")).unwrap().unwrap();
        assert_eq!(node.path, Path::new("/usr/bin/tool"));
        assert_eq!(read(&tree, "/bin/../secret"), None, "/usr/secret is not there");
        assert_eq!(
            read(&tree, "/out").as_deref(),
            Some("top"),
            "the root has no parent"
        );
        assert!(matches!(
            tree.find(Path::new("/loop")),
            Err(TreeError::TooManyLinks(_))
        ));
    }

    #[test]
    fn a_file_is_no_directory_on_the_way() {
        let layers = layers(&[&[("file", "x")]]);
        let tree = LayerTree::new(&layers.directories);
        assert!(tree.find(Path::new("/file/below")).unwrap().is_none());
        assert!(tree.find(Path::new("/")).unwrap().unwrap().metadata.is_dir());
    }
}

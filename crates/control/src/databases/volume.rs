//! A database's volume: an ext4 in an image file, whose UUID is the database's id.
//!
//! Before a server is started on it, it is looked at: once data was made, a volume that is missing, empty or another's is a loss that a person
//! has to see to, never a reason to begin anew.

use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mainstay_shim::volume;
use mainstay_spec::ids::DatabaseId;
use mainstay_store::DatabaseRow;
use tokio::{process::Command, time::timeout};

use super::engines::Engine;
use crate::platform::PlatformError;

/// Both work on metadata only.
const TOOL_DEADLINE: Duration = Duration::from_mins(2);
/// What the file of a volume is called while it is made, after the dot.
pub(super) const DRAFT: &str = "draft";

/// What a volume with data should be, and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum VolumeProblem {
    #[error("its volume is missing: the image file is not there")]
    Missing,
    #[error("its volume is no volume: there is no ext4 file system in the image file")]
    NoFileSystem,
    #[error("its volume is another one: it carries the id {found}")]
    Foreign { found: String },
    #[error("its volume is empty: the data that was on it is gone")]
    Empty,
    #[error("its volume holds data of version {found}")]
    OtherVersion { found: String },
}

/// Makes an empty volume whose root directory belongs to `owner`, in the place of whatever is there.
pub(super) async fn make(image: &Path, id: DatabaseId, bytes: u64, owner: u32) -> Result<(), PlatformError> {
    let draft = image.with_extension(DRAFT);
    let failed = |operation: &str| io_error(format!("{operation} the volume {}", image.display()));
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|file| file.set_len(bytes))
        .map_err(failed("create"))?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0", "-U", &id.to_string()])
        .args([
            "-E",
            &format!("root_owner={owner}:{owner},lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
        ])
        .arg(&draft);
    let made = run(mkfs).await.map_err(failed("format"))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        return Err(failed("format")(io::Error::other(said)));
    }
    let (from, to) = (draft, image.to_owned());
    let renamed = tokio::task::spawn_blocking(move || {
        File::open(&from)?.sync_all()?;
        std::fs::rename(&from, &to)?;
        File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
    });
    renamed
        .await
        .map_err(io::Error::other)
        .and_then(|renamed| renamed)
        .map_err(failed("keep"))
}

/// What says that there is data on a volume, and of which version. Files are relative to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks<'a> {
    pub(super) version_file: &'a str,
    pub(super) version: &'a str,
    /// Where the first may be there without the data.
    pub(super) data_file: Option<&'a str>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(engine: &'a dyn Engine, row: &'a DatabaseRow) -> Self {
        Self {
            version_file: engine.version_file(),
            version: &row.version,
            data_file: engine.data_file(),
        }
    }
}

/// Looks at a volume that has to have such data. No instance may use it.
pub(super) async fn look(
    image: &Path,
    id: DatabaseId,
    marks: Marks<'_>,
) -> Result<Result<(), VolumeProblem>, PlatformError> {
    let failed = || io_error(format!("look at the volume {}", image.display()));
    match volume::identity(image) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(VolumeProblem::Missing)),
        Err(error) => return Err(failed()(error)),
        Ok(None) => return Ok(Err(VolumeProblem::NoFileSystem)),
        Ok(Some(found)) if found != id.to_string() => return Ok(Err(VolumeProblem::Foreign { found })),
        Ok(Some(_)) => {}
    }
    let found = debugfs(image, &format!("cat {}", marks.version_file)).await;
    let found = found.map_err(failed())?;
    let has_data = match marks.data_file {
        // Of a file that is not there, it says nothing on its standard output.
        Some(file) => debugfs(image, &format!("stat {file}"))
            .await
            .map_err(failed())?
            .contains("Size:"),
        None => true,
    };
    if (found.is_empty() || !has_data) && volume::needs_recovery(image).map_err(failed())? {
        // After a crash the file may be in the journal alone. The server that is started on it says whose data it finds.
        return Ok(Ok(()));
    }
    Ok(match found.as_str() {
        "" => Err(VolumeProblem::Empty),
        _ if !has_data => Err(VolumeProblem::Empty),
        found if found == marks.version => Ok(()),
        _ => Err(VolumeProblem::OtherVersion { found }),
    })
}

/// Whether the kernel takes no more writes to what the process has mounted at `target`. That is how it keeps an ext4 from harm of which a write
/// failed, a full disk below it included; only a new mount ends it.
pub(super) fn is_closed(pid: i32, target: &str) -> io::Result<bool> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    Ok(is_closed_in(&table, target))
}

/// `36 35 7:1 / <target> rw,… - ext4 /dev/loop1 rw,…,emergency_ro` (proc(5)). Kernels before 6.15 change `rw` to `ro` instead.
fn is_closed_in(table: &str, target: &str) -> bool {
    let of_target = table.lines().find(|line| line.split(' ').nth(4) == Some(target));
    let options = of_target
        .and_then(|line| line.split_once(" - "))
        .and_then(|(_, file_system)| file_system.split(' ').nth(2));
    let mut options = options.unwrap_or_default().split(',');
    options.any(|option| matches!(option, "ro" | "emergency_ro" | "shutdown"))
}

/// What `debugfs` prints of a file system that nobody has mounted.
async fn debugfs(image: &Path, request: &str) -> io::Result<String> {
    let mut tool = Command::new("debugfs");
    tool.args(["-R", request]).arg(image);
    let output = run(tool).await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn run(mut tool: Command) -> io::Result<std::process::Output> {
    tool.stdin(Stdio::null()).kill_on_drop(true);
    timeout(TOOL_DEADLINE, tool.output())
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn io_error(operation: String) -> impl FnOnce(io::Error) -> PlatformError {
    move |source| PlatformError::Io { operation, source }
}

const SCRATCH: &str = "scratch-";
const RESTORED: &str = "volume-";
/// The file of a database's first volume.
pub(super) const FIRST: &str = "volume.img";

/// Where the files of a database are.
#[derive(Debug, Clone)]
pub(super) struct Places {
    root: PathBuf,
}

impl Places {
    pub(super) fn new(data_dir: &Path, id: DatabaseId) -> Self {
        Self {
            root: directory(data_dir).join(id.to_string()),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The database's volume.
    pub(super) fn volume(&self, row: &DatabaseRow) -> PathBuf {
        self.root.join(&row.volume_file)
    }

    /// A volume that is to take its place, by the name of its file.
    pub(super) fn restored(&self, name: &str) -> PathBuf {
        self.root.join(format!("{RESTORED}{name}.img"))
    }

    /// The volume of a server that something is only tried on.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.root.join(format!("{SCRATCH}{name}.img"))
    }

    /// Whether a file is a volume that we began and that is nobody's data: only tried on, or not come so far as to be the database's.
    pub(super) fn is_leftover(row: &DatabaseRow, file: &Path) -> bool {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let is_used = name == row.volume_file || row.replaced_volume.as_deref() == Some(name);
        name.starts_with(SCRATCH) || (name.starts_with(RESTORED) && !is_used)
    }

    /// What the server reads at its start, mounted into its instance.
    pub(super) fn settings(&self) -> PathBuf {
        self.root.join("settings")
    }
}

/// Where everything of databases is.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("databases")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_the_kernel_closed_is_seen() {
        let table = |options: &str| {
            format!(
                "136 135 0:29 / / rw - overlay overlay ro\n\
                 140 136 7:1 / /var/lib/postgresql rw,nosuid - ext4 /dev/loop1 {options}\n"
            )
        };
        let closed = |options: &str| is_closed_in(&table(options), "/var/lib/postgresql");
        assert!(!closed("rw,discard,errors=remount-ro"));
        assert!(closed("rw,discard,errors=remount-ro,emergency_ro"));
        assert!(closed("ro,discard,errors=remount-ro"));
        assert!(!is_closed_in(&table("ro"), "/elsewhere"));
        assert!(!is_closed(std::process::id().cast_signed(), "/nothing/there").unwrap());
    }

    #[tokio::test]
    async fn a_volume_is_told_from_a_missing_a_foreign_and_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("volume.img");
        let id = DatabaseId::from_uuid(uuid::Uuid::new_v4());
        let marks = Marks {
            version_file: "data/PG_VERSION",
            version: "15",
            data_file: None,
        };
        let look = async || look(&image, id, marks).await.unwrap().unwrap_err();
        assert_eq!(look().await, VolumeProblem::Missing);
        std::fs::write(&image, vec![0; 1 << 20]).unwrap();
        assert_eq!(look().await, VolumeProblem::NoFileSystem);
        let other = DatabaseId::from_uuid(uuid::Uuid::new_v4());
        make(&image, other, 16 << 20, 1000).await.unwrap();
        let found = other.to_string();
        assert_eq!(look().await, VolumeProblem::Foreign { found });
        make(&image, id, 16 << 20, 1000).await.unwrap();
        assert_eq!(look().await, VolumeProblem::Empty);
    }
}

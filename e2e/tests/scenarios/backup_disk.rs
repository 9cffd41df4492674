//! Backups by the schedule, on a small disk of their own: the oldest go, and a disk that becomes full is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use mainstay_e2e::{Platform, run, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::backups::{expect_no_traces, files_below, list, sql, teller};

const TOOL_WITHIN: Duration = Duration::from_secs(30);
/// Several turns of the schedule.
const HAPPENS_WITHIN: Duration = Duration::from_mins(3);
const DISK_BYTES: u64 = 24 << 20;

/// An ext4 in a file. Dropped, it is not mounted any more.
struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let disk = Self {
            place: TempDir::new().expect("the temporary directory is writable"),
        };
        let image = disk.place.path().join("disk.img");
        let file = fs::File::create(&image).expect("our own directory");
        file.set_len(DISK_BYTES).expect("our own file");
        fs::create_dir(disk.path()).expect("our own directory");
        let tool = |program: &str, arguments: &[&Path]| {
            let _ = run(Command::new(program).args(arguments), TOOL_WITHIN).expect_success(program);
        };
        tool("mkfs.ext4", &[Path::new("-q"), Path::new("-m0"), &image]);
        tool("mount", &[Path::new("-oloop"), &image, &disk.path()]);
        disk
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("mounted")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(self.path()), TOOL_WITHIN);
        if !unmounted.is_success() {
            eprintln!("the small disk is still mounted: {}", unmounted.stderr);
        }
    }
}

pub(crate) fn backups_are_made_by_the_schedule_and_a_full_disk_is_red(platform: &mut Platform) {
    const APP: &str = "filler";
    let disk = SmallDisk::mount();
    let config = format!(
        "[databases.backups]\nevery_seconds = 4\nkeep = 1\ndirectory = '{}'\n",
        disk.path().display()
    );
    let platform = platform.beside(&config);
    platform.deploy_active(&teller(APP));
    sql(
        &platform,
        APP,
        "CREATE EXTENSION pgcrypto; CREATE TABLE small AS SELECT 1 AS n",
    );
    let is_good = |backup: &Value| backup["state"] == "GOOD" && backup["cause"] == "SCHEDULE";
    let first = await_one(&platform, APP, &|backup| is_good(backup) && backup["rows"] == 1);
    let second = await_one(&platform, APP, &|backup| {
        is_good(backup) && backup["id"] != first["id"]
    });
    let is_gone = || {
        list(&platform, APP)
            .iter()
            .all(|backup| backup["id"] != first["id"])
    };
    assert!(wait_until(HAPPENS_WITHIN, is_gone), "{:?}", list(&platform, APP));
    assert_ne!(first["id"], second["id"]);

    // As large as the last one is what is reckoned with: it is begun, and the disk is full in the middle.
    sql(
        &platform,
        APP,
        "CREATE TABLE large AS SELECT gen_random_bytes(1000) AS b FROM generate_series(1, 40000)",
    );
    let full = await_one(&platform, APP, &|backup| backup["failure"] == "DISK_FULL");
    assert_eq!(full["state"], "FAILED", "{full}");
    assert!(
        full["message"]
            .as_str()
            .is_some_and(|words| words.contains("write the backup")),
        "{full}"
    );
    assert!(dumps(&disk).len() <= 1, "{:?}", dumps(&disk));
    let told = platform.text(&["databases", "list", "--app", APP]);
    assert!(told.stdout.contains("DISK_FULL"), "{}", told.stdout);
    let noted = platform.text(&["audit"]);
    assert!(
        noted.stdout.contains("BACKUP of database db failed: "),
        "{}",
        noted.stdout
    );

    // A disk that is full before is told without anything being begun; with room again the next one is good.
    sql(&platform, APP, "DROP TABLE large");
    let in_the_way = disk.path().join("in-the-way");
    let _ = run(
        Command::new("dd")
            .args(["if=/dev/zero", "bs=64K", "status=none"])
            .arg({
                let mut argument = std::ffi::OsString::from("of=");
                argument.push(&in_the_way);
                argument
            }),
        TOOL_WITHIN,
    );
    await_one(&platform, APP, &|backup| backup["failure"] == "NO_ROOM");
    fs::remove_file(&in_the_way).expect("our own file");
    let is_newest_good = || list(&platform, APP).first().is_some_and(is_good);
    assert!(
        wait_until(HAPPENS_WITHIN, is_newest_good),
        "{:?}",
        list(&platform, APP)
    );
    platform.delete(APP);
    assert!(
        wait_until(HAPPENS_WITHIN, || dumps(&disk).is_empty()),
        "{:?}",
        dumps(&disk)
    );
    expect_no_traces(&platform);
}

/// Halves of files included.
fn dumps(disk: &SmallDisk) -> Vec<PathBuf> {
    let mut files = files_below(&disk.path());
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("dump" | "part"))
    });
    files
}

/// Waits until one that fits is among them.
fn await_one(platform: &Platform, app: &str, fits: &dyn Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_until(HAPPENS_WITHIN, || {
        found = list(platform, app).into_iter().find(|backup| fits(backup));
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("{:?}\n{}", list(platform, app), platform.server_log()))
}

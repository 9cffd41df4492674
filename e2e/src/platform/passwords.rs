//! The platform's own passwords, and who tells them.

use std::{fs, path::Path};

use mainstay_store::Store;

use super::Platform;

/// What others than root may look into.
const TOLD_BY_PROCESSES: [&str; 2] = ["cmdline", "environ"];

impl Platform {
    /// Those of the platform's own users at the databases that it runs.
    pub fn admin_passwords(&self) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let path = self.data_dir().join("mainstay.db");
        runtime.expect("a runtime can be made").block_on(async {
            let store = Store::open(&path).await.expect("the server's own database");
            let databases = store.databases().await.expect("a database");
            store.close().await;
            databases.into_iter().map(|row| row.admin_password).collect()
        })
    }

    /// Processes of the whole machine with one of these words in their arguments or their environment, and which of the two.
    pub fn tellers(&self, words: &[String]) -> Vec<String> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found = Vec::new();
        for process in processes {
            for told in TOLD_BY_PROCESSES {
                // Most of what is there is no process, and others end meanwhile.
                let text = fs::read(process.path().join(told)).unwrap_or_default();
                if holds(&text, words) {
                    let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                    found.push(format!("{told} of {}", command.trim()));
                }
            }
        }
        found
    }

    /// Files of the instances that there are and were: what was written to their disks, and what the engine keeps of them.
    pub fn instance_files_with(&self, words: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        look_into(&self.data_dir().join("engine"), words, &mut found);
        found
    }
}

fn look_into(directory: &Path, words: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            look_into(&entry.path(), words, found);
        } else if kind.is_file() && holds(&fs::read(entry.path()).unwrap_or_default(), words) {
            found.push(entry.path().display().to_string());
        }
    }
}

fn holds(text: &[u8], words: &[String]) -> bool {
    let text = String::from_utf8_lossy(text);
    words.iter().any(|word| text.contains(word.as_str()))
}

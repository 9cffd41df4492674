//! Packing a folder for upload: what git and Docker would ignore stays here.

use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use ignore::WalkBuilder;

use crate::error::CliError;

/// The folder as tar.gz, in a fixed order.
pub(crate) fn pack(directory: &Path) -> Result<Vec<u8>, CliError> {
    if !directory.is_dir() {
        return Err(CliError::Usage(format!(
            "{} is not a folder",
            directory.display()
        )));
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Deterministic);
    let walk = WalkBuilder::new(directory)
        .hidden(false)
        .require_git(false)
        .parents(false)
        .git_global(false)
        .add_custom_ignore_filename(".dockerignore")
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_path(Ord::cmp)
        .build();
    for entry in walk {
        let entry = entry.map_err(|error| CliError::Usage(format!("could not read the folder: {error}")))?;
        let path = entry.path();
        let Ok(name) = path.strip_prefix(directory) else {
            continue;
        };
        if name.as_os_str().is_empty() {
            continue;
        }
        archive
            .append_path_with_name(path, name)
            .map_err(CliError::io(format!("pack {}", path.display())))?;
    }
    let compressed = archive.into_inner().and_then(GzEncoder::finish);
    compressed.map_err(CliError::io("pack the folder"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ignored_files_stay_behind() {
        let folder = std::env::temp_dir().join(format!("mainstay-pack-{}", std::process::id()));
        fs::create_dir_all(folder.join("node_modules")).unwrap();
        fs::create_dir_all(folder.join(".do")).unwrap();
        fs::write(folder.join(".gitignore"), "node_modules/\n").unwrap();
        fs::write(folder.join(".dockerignore"), "*.md\n").unwrap();
        for file in ["node_modules/x.js", ".do/app.yaml", "README.md", "server.js"] {
            fs::write(folder.join(file), "x").unwrap();
        }
        let packed = pack(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            [".do", ".do/app.yaml", ".dockerignore", ".gitignore", "server.js"]
        );
    }
}

//! What lies on the platform's disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mainstay_e2e::Platform;

/// Its data directory, looked into behind the server's back.
pub(crate) struct Disk {
    data: PathBuf,
    /// Layers that were there before any app: the stack's.
    stack: Vec<PathBuf>,
}

impl Disk {
    pub(crate) fn of(platform: &Platform) -> Self {
        let data = platform.data_dir();
        Self {
            stack: list(&data.join("images/layers")),
            data,
        }
    }

    /// "version N" of each layer with such a page, sorted.
    pub(crate) fn versions(&self) -> Vec<String> {
        let pages = list(&self.data.join("images/layers")).into_iter();
        let text = pages.filter_map(|layer| fs::read_to_string(layer.join("index.html")).ok());
        let mut versions: Vec<String> = text
            .filter_map(|text| Some(text.split("<p>").nth(1)?.split("</p>").next()?.to_owned()))
            .collect();
        versions.sort();
        versions
    }

    pub(crate) fn uploads(&self) -> usize {
        list(&self.data.join("uploads")).len()
    }

    /// Everything of apps that is left when there are none.
    pub(crate) fn remains(&self) -> Vec<String> {
        let of_apps = [
            "engine/instances",
            "logs/builds",
            "logs/deployments",
            "uploads",
            "build/caches",
            "build/builds",
            "dockerfile/stores",
        ];
        let mut left: Vec<PathBuf> = of_apps
            .iter()
            .flat_map(|directory| list(&self.data.join(directory)))
            .collect();
        let layers = list(&self.data.join("images/layers"));
        left.extend(layers.into_iter().filter(|layer| !self.stack.contains(layer)));
        let pins = list(&self.data.join("images/records/pins"));
        left.extend(pins.into_iter().filter(|pin| {
            fs::read_to_string(pin).is_ok_and(|text| text.contains("deployment ") || text.contains("build "))
        }));
        left.iter().map(|path| path.display().to_string()).collect()
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

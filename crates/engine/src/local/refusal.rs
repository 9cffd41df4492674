//! What the kernel refused, told as an execution fault: its errno says that, the image's files say why.

use mainstay_diagnosis::facts::{ExecFault, ExecFaultKind};
use mainstay_shim::protocol::{StartRefusal, StartStage};

use crate::api::{EngineError, InstanceSpec};

use super::{environment, preflight};

pub(super) async fn explain(spec: &InstanceSpec, refused: StartRefusal) -> Result<ExecFault, EngineError> {
    let owned = spec.clone();
    let checked = tokio::task::spawn_blocking(move || preflight::check(&owned));
    let operation = || format!("look at the command of the instance {}", spec.id);
    let found = checked
        .await
        .map_err(EngineError::during(operation()))?
        .map_err(EngineError::during(operation()))?;
    Ok(match found {
        Some(fault) => ExecFault {
            errno: Some(refused.errno),
            preflight: false,
            ..fault
        },
        None => by_errno(&spec.argv, environment::working_dir(&spec.working_dir), refused),
    })
}

/// Where the image's files show no reason: below a mount, or in the kernel itself.
pub(super) fn by_errno(argv: &[String], working_dir: &str, refused: StartRefusal) -> ExecFault {
    let kind = match (refused.stage, refused.errno) {
        (StartStage::WorkingDirectory, _) => ExecFaultKind::WorkingDirectoryMissing {
            path: working_dir.to_owned(),
        },
        (StartStage::Exec, libc::ENOENT | libc::ENOTDIR) => ExecFaultKind::NotFound,
        (StartStage::Exec, libc::EACCES) => ExecFaultKind::NotExecutable { mode: None },
        (StartStage::Exec, libc::ENOEXEC) => ExecFaultKind::UnknownFormat {
            first_bytes: String::new(),
        },
        (_, errno) => ExecFaultKind::Other {
            message: std::io::Error::from_raw_os_error(errno).to_string(),
        },
    };
    ExecFault {
        argv: argv.to_vec(),
        kind,
        resolved_path: None,
        errno: Some(refused.errno),
        search_path: None,
        close_matches: Vec::new(),
        preflight: false,
    }
}

//! What the kernel refused, told as an execution fault.

use mainstay_diagnosis::facts::{ExecFault, ExecFaultKind};
use mainstay_shim::protocol::{StartRefusal, StartStage};

use crate::api::{EngineError, InstanceSpec};

use super::environment;

#[expect(clippy::unused_async, reason = "reads the image's files")]
pub(super) async fn explain(spec: &InstanceSpec, refused: StartRefusal) -> Result<ExecFault, EngineError> {
    Ok(ExecFault {
        argv: spec.argv.clone(),
        kind: kind_of(spec, refused),
        resolved_path: None,
        errno: Some(refused.errno),
        search_path: spec.env.get("PATH").cloned(),
        close_matches: Vec::new(),
        preflight: false,
    })
}

fn kind_of(spec: &InstanceSpec, refused: StartRefusal) -> ExecFaultKind {
    match (refused.stage, refused.errno) {
        (StartStage::WorkingDirectory, _) => ExecFaultKind::WorkingDirectoryMissing {
            path: environment::working_dir(&spec.working_dir).to_owned(),
        },
        (StartStage::Exec, libc::ENOENT | libc::ENOTDIR) => ExecFaultKind::NotFound,
        (StartStage::Exec, libc::EACCES) => ExecFaultKind::NotExecutable { mode: None },
        (StartStage::Exec, libc::ENOEXEC) => ExecFaultKind::UnknownFormat {
            first_bytes: String::new(),
        },
        (_, errno) => ExecFaultKind::Other {
            message: std::io::Error::from_raw_os_error(errno).to_string(),
        },
    }
}

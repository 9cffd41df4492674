//! Which causes a code can have. A property test holds the rules against this table.

use crate::{Cause, Code};

/// Why a command ended the way it did, in a build or at run time.
const ENDED: &[Cause] = &[
    Cause::Aborted,
    Cause::Crashed,
    Cause::KilledByUnknown,
    Cause::EndedBySignal,
    Cause::OwnHeapLimit,
    Cause::ProcessLimit,
    Cause::EnvRefused,
    Cause::UnresolvedReference,
    Cause::ScriptMissing,
    Cause::ModuleNotFound,
    Cause::DevDependencyMissing,
    Cause::ModuleSystemMismatch,
    Cause::GeneratedCodeMissing,
    Cause::CompileError,
    Cause::FileMissing,
    Cause::SyntaxError,
    Cause::SharedLibraryMissing,
    Cause::SharedLibraryVersion,
    Cause::RuntimeVersionMismatch,
    Cause::PermissionDenied,
    Cause::ReadOnlyFileSystem,
    Cause::DiskFull,
    Cause::WrongArchitecture,
];

const BUILD_FAILED: &[Cause] = &[
    Cause::SourceNotFetchable,
    Cause::BranchMissing,
    Cause::SourceDirMissing,
    Cause::SourceRefused,
    Cause::CloneUrlRefused,
    Cause::NothingDetected,
    Cause::DockerfileMissing,
    Cause::DockerfileInvalid,
    Cause::DockerfileInstructionFailed,
    Cause::FileNotInBuildContext,
    Cause::FileExcludedByIgnoreRule,
    Cause::FileNameCase,
    Cause::BaseImageNotPullable,
    Cause::BaseImageNotFound,
    Cause::BaseImageRefused,
    Cause::BaseImageRateLimited,
    Cause::WrongArchitecture,
    Cause::ToolchainUnavailable,
    Cause::OutputDirMissing,
    Cause::DiskBudget,
    Cause::ExportFailed,
    Cause::Unsupported,
    Cause::PlatformStepFailed,
];

const STEP_FAILED: &[Cause] = &[
    Cause::StepFailed,
    Cause::LockfileOutOfStep,
    Cause::LockfileMissing,
    Cause::DependencyConflict,
    Cause::DependencyNotFound,
    Cause::DependencyRegistryUnreachable,
    Cause::DependencyNotCompilable,
    Cause::ManifestInvalid,
    Cause::WarningsAsErrors,
    Cause::FileNameCase,
    Cause::MissingBuildEnv,
    Cause::CommandNotFound,
    Cause::NotExecutable,
    Cause::InterpreterMissing,
    Cause::CrlfInScript,
];

const NOT_EXECUTABLE: &[Cause] = &[
    Cause::NoRunCommand,
    Cause::CommandNotFound,
    Cause::DevDependencyMissing,
    Cause::NotExecutable,
    Cause::IsDirectory,
    Cause::InterpreterMissing,
    Cause::CrlfInScript,
    Cause::WrongArchitecture,
    Cause::UnknownExecutableFormat,
    Cause::WorkingDirectoryMissing,
    Cause::UserUnknown,
    Cause::SharedLibraryMissing,
    Cause::SharedLibraryVersion,
    Cause::ExecFailed,
];

const EXITED: &[Cause] = &[
    Cause::ExitedWithError,
    Cause::ExitedNormally,
    Cause::JobTimeLimit,
    Cause::TerminationFailed,
    Cause::MissingEnv,
    Cause::ConfigurationRemoved,
    Cause::UnexpandedVariable,
    Cause::ShellSyntaxWithoutShell,
    Cause::UsageError,
    Cause::EntryFileMissing,
    Cause::PrivilegedPort,
    Cause::AddressInUse,
    Cause::HostNotFound,
    Cause::ConnectionRefused,
    Cause::ConnectionTimedOut,
    Cause::HostUnreachable,
    Cause::TlsUntrusted,
    Cause::DatabaseRefused,
    Cause::DatabaseTimedOut,
    Cause::DatabaseUnreachable,
    Cause::DatabaseHostNotFound,
    Cause::DatabaseTlsUntrusted,
    Cause::DatabaseTlsRequired,
    Cause::DatabaseAuth,
    Cause::DatabasePermission,
    Cause::DatabaseMissing,
    Cause::DatabaseObjectMissing,
    Cause::DatabaseNotConfigured,
    Cause::DatabaseUrlScheme,
    Cause::DatabaseConnectionsExhausted,
    Cause::DatabaseStarting,
    Cause::DatabaseReadOnly,
    Cause::DatabaseStorageFull,
    Cause::MigrationBlocked,
];

const UNHEALTHY: &[Cause] = &[
    Cause::BoundToLoopback,
    Cause::ListensOnOtherPort,
    Cause::NeverListened,
    Cause::StoppedListening,
    Cause::StillStarting,
    Cause::TooBusy,
    Cause::HealthTimeout,
    Cause::HealthNotHttp,
    Cause::HealthPathNotFound,
    Cause::HealthUnauthorized,
    Cause::HealthForbidden,
    Cause::HostHeaderRefused,
    Cause::HealthBadRequest,
    Cause::HealthStatusUnexpected,
    Cause::HealthServerError,
    Cause::HealthBadGateway,
    Cause::HealthUnavailable,
    Cause::HealthGatewayTimeout,
    Cause::InstanceUnreachable,
    Cause::NotDetermined,
];

const DATABASE_NOT_AVAILABLE: &[Cause] = &[
    Cause::DatabaseRefused,
    Cause::DatabaseTimedOut,
    Cause::DatabaseUnreachable,
    Cause::DatabaseHostNotFound,
    Cause::DatabaseTlsUntrusted,
    Cause::DatabaseTlsRequired,
    Cause::DatabaseAuth,
    Cause::DatabasePermission,
    Cause::DatabaseStarting,
    Cause::DatabaseReadOnly,
    Cause::DatabaseStorageFull,
    Cause::DatabaseServerEnded,
    Cause::DatabaseVolumeLost,
    Cause::NotDetermined,
];

impl Code {
    /// The causes this code can have, the most particular ones of it first.
    pub fn causes(self) -> Vec<Cause> {
        let families: &[&[Cause]] = match self {
            Self::InternalError => &[&[
                Cause::PlatformFault,
                Cause::ExitStatusLost,
                Cause::ContradictoryFacts,
            ]],
            Self::BuildJobFailed => &[BUILD_FAILED],
            Self::BuildJobExitNonZero => &[STEP_FAILED, ENDED],
            Self::BuildJobTimeout => &[&[Cause::BuildTimeLimit, Cause::BuildStalled]],
            Self::BuildJobOutOfMemory | Self::ContainerOutOfMemory => {
                &[&[Cause::MemoryLimit, Cause::ChildKilledForMemory]]
            }
            Self::PreviousBuildReused => &[&[Cause::BuildKeyUnchanged]],
            Self::BuildRateLimit => &[&[Cause::BuildQueueFull]],
            Self::DatabaseNotAvailable => &[DATABASE_NOT_AVAILABLE],
            Self::DatabaseNotFound => &[&[Cause::DatabaseMissing, Cause::UnresolvedReference]],
            Self::DatabaseLimitExceeded => &[&[
                Cause::DatabaseQuota,
                Cause::DatabaseConnectionsExhausted,
                Cause::DatabaseStorageFull,
            ]],
            Self::ContainerCommandNotExecutable => &[NOT_EXECUTABLE],
            Self::ContainerExitNonZero => &[EXITED, ENDED],
            Self::ContainerHealthChecksFailed => &[UNHEALTHY],
            Self::ResourceExhausted => &[&[Cause::AccountQuota, Cause::NodeCapacity]],
        };
        families.concat()
    }
}

impl Cause {
    /// The codes below which this cause is met.
    pub fn codes(self) -> Vec<Code> {
        Code::ALL
            .iter()
            .copied()
            .filter(|code| code.causes().contains(&self))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_belongs_to_a_code_and_once() {
        for cause in Cause::ALL {
            assert!(!cause.codes().is_empty(), "{cause} belongs to no code");
        }
        for code in Code::ALL {
            let mut causes = code.causes();
            let count = causes.len();
            causes.sort_unstable();
            causes.dedup();
            assert_eq!(causes.len(), count, "{code} lists a cause twice");
        }
    }
}

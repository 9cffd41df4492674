//! The causes: our finer word below a code. Closed; additive; never renamed; each has a page (`mainstay explain CAUSE`).

use crate::closed_enum::closed_enum;

closed_enum! {
    /// What made it fail, as far as it was observed. [`Cause::NotDetermined`] where it was not.
    pub enum Cause as "cause" {
        NotDetermined = "not_determined",

        // The platform's own.
        PlatformFault = "platform_fault",
        ExitStatusLost = "exit_status_lost",
        ContradictoryFacts = "contradictory_facts",

        // The build could not be carried out.
        SourceNotFetchable = "source_not_fetchable",
        BranchMissing = "branch_missing",
        SourceDirMissing = "source_dir_missing",
        SourceRefused = "source_refused",
        CloneUrlRefused = "clone_url_refused",
        NothingDetected = "nothing_detected",
        DockerfileMissing = "dockerfile_missing",
        DockerfileInvalid = "dockerfile_invalid",
        DockerfileInstructionFailed = "dockerfile_instruction_failed",
        FileNotInBuildContext = "file_not_in_build_context",
        FileExcludedByIgnoreRule = "file_excluded_by_ignore_rule",
        BaseImageNotPullable = "base_image_not_pullable",
        BaseImageNotFound = "base_image_not_found",
        BaseImageRefused = "base_image_refused",
        BaseImageRateLimited = "base_image_rate_limited",
        ToolchainUnavailable = "toolchain_unavailable",
        OutputDirMissing = "output_dir_missing",
        DiskBudget = "disk_budget",
        ExportFailed = "export_failed",
        Unsupported = "unsupported",
        PlatformStepFailed = "platform_step_failed",

        // A step of the build failed.
        StepFailed = "step_failed",
        LockfileOutOfStep = "lockfile_out_of_step",
        LockfileMissing = "lockfile_missing",
        DevDependencyMissing = "dev_dependency_missing",
        DependencyConflict = "dependency_conflict",
        DependencyNotFound = "dependency_not_found",
        DependencyRegistryUnreachable = "dependency_registry_unreachable",
        DependencyNotCompilable = "dependency_not_compilable",
        RuntimeVersionMismatch = "runtime_version_mismatch",
        ManifestInvalid = "manifest_invalid",
        ScriptMissing = "script_missing",
        CompileError = "compile_error",
        WarningsAsErrors = "warnings_as_errors",
        FileNameCase = "file_name_case",
        MissingBuildEnv = "missing_build_env",
        DiskFull = "disk_full",

        // Limits of ours.
        BuildTimeLimit = "build_time_limit",
        BuildStalled = "build_stalled",
        JobTimeLimit = "job_time_limit",
        MemoryLimit = "memory_limit",
        ChildKilledForMemory = "child_killed_for_memory",
        ProcessLimit = "process_limit",

        // Builds that are no failure.
        BuildKeyUnchanged = "build_key_unchanged",
        BuildQueueFull = "build_queue_full",

        // The command cannot be executed.
        NoRunCommand = "no_run_command",
        CommandNotFound = "command_not_found",
        NotExecutable = "not_executable",
        IsDirectory = "is_directory",
        InterpreterMissing = "interpreter_missing",
        CrlfInScript = "crlf_in_script",
        WrongArchitecture = "wrong_architecture",
        UnknownExecutableFormat = "unknown_executable_format",
        WorkingDirectoryMissing = "working_directory_missing",
        UserUnknown = "user_unknown",
        ExecFailed = "exec_failed",

        // The process ended.
        ExitedWithError = "exited_with_error",
        ExitedNormally = "exited_normally",
        Aborted = "aborted",
        Crashed = "crashed",
        KilledByUnknown = "killed_by_unknown",
        EndedBySignal = "ended_by_signal",
        TerminationFailed = "termination_failed",
        OwnHeapLimit = "own_heap_limit",
        MissingEnv = "missing_env",
        EnvRefused = "env_refused",
        ConfigurationRemoved = "configuration_removed",
        UnresolvedReference = "unresolved_reference",
        UnexpandedVariable = "unexpanded_variable",
        ShellSyntaxWithoutShell = "shell_syntax_without_shell",
        UsageError = "usage_error",
        EntryFileMissing = "entry_file_missing",
        ModuleNotFound = "module_not_found",
        ModuleSystemMismatch = "module_system_mismatch",
        GeneratedCodeMissing = "generated_code_missing",
        FileMissing = "file_missing",
        SyntaxError = "syntax_error",
        SharedLibraryMissing = "shared_library_missing",
        SharedLibraryVersion = "shared_library_version",
        PermissionDenied = "permission_denied",
        PrivilegedPort = "privileged_port",
        AddressInUse = "address_in_use",
        ReadOnlyFileSystem = "read_only_file_system",
        HostNotFound = "host_not_found",
        ConnectionRefused = "connection_refused",
        ConnectionTimedOut = "connection_timed_out",
        HostUnreachable = "host_unreachable",
        TlsUntrusted = "tls_untrusted",

        // Databases, as probed or as seen by the app.
        DatabaseRefused = "database_refused",
        DatabaseTimedOut = "database_timed_out",
        DatabaseUnreachable = "database_unreachable",
        DatabaseHostNotFound = "database_host_not_found",
        DatabaseTlsUntrusted = "database_tls_untrusted",
        DatabaseAuth = "database_auth",
        DatabasePermission = "database_permission",
        DatabaseMissing = "database_missing",
        DatabaseObjectMissing = "database_object_missing",
        DatabaseNotConfigured = "database_not_configured",
        DatabaseUrlScheme = "database_url_scheme",
        DatabaseConnectionsExhausted = "database_connections_exhausted",
        DatabaseStarting = "database_starting",
        DatabaseReadOnly = "database_read_only",
        DatabaseStorageFull = "database_storage_full",
        DatabaseQuota = "database_quota",
        DatabaseTlsRequired = "database_tls_required",
        DatabaseServerEnded = "database_server_ended",
        DatabaseVolumeLost = "database_volume_lost",
        MigrationBlocked = "migration_blocked",

        // Alive, but no probe succeeded.
        BoundToLoopback = "bound_to_loopback",
        ListensOnOtherPort = "listens_on_other_port",
        NeverListened = "never_listened",
        StoppedListening = "stopped_listening",
        StillStarting = "still_starting",
        TooBusy = "too_busy",
        HealthTimeout = "health_timeout",
        HealthNotHttp = "health_not_http",
        HealthPathNotFound = "health_path_not_found",
        HealthUnauthorized = "health_unauthorized",
        HealthForbidden = "health_forbidden",
        HostHeaderRefused = "host_header_refused",
        HealthBadRequest = "health_bad_request",
        HealthStatusUnexpected = "health_status_unexpected",
        HealthServerError = "health_server_error",
        HealthBadGateway = "health_bad_gateway",
        HealthUnavailable = "health_unavailable",
        HealthGatewayTimeout = "health_gateway_timeout",
        InstanceUnreachable = "instance_unreachable",

        // Quotas.
        AccountQuota = "account_quota",
        NodeCapacity = "node_capacity",
    }
}

impl Cause {
    fn canonical(text: &str) -> &str {
        text
    }

    /// It concerns a database, as probed or as seen by the app.
    pub(crate) fn is_of_databases(self) -> bool {
        self.as_str().starts_with("database_")
    }

    /// What a cause of a connection to a database is where it is not known that it was one.
    pub(crate) fn of_any_connection(self) -> Option<Self> {
        Some(match self {
            Self::DatabaseHostNotFound => Self::HostNotFound,
            Self::DatabaseRefused => Self::ConnectionRefused,
            Self::DatabaseTimedOut => Self::ConnectionTimedOut,
            Self::DatabaseUnreachable => Self::HostUnreachable,
            Self::DatabaseTlsUntrusted => Self::TlsUntrusted,
            _ => return None,
        })
    }

    /// A connection to somebody else did not come about; to whom may not be known.
    pub(crate) fn is_of_connections(self) -> bool {
        matches!(
            self,
            Self::HostNotFound
                | Self::ConnectionRefused
                | Self::ConnectionTimedOut
                | Self::HostUnreachable
                | Self::TlsUntrusted
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_snake_case_and_reads_back() {
        for cause in Cause::ALL {
            let text = cause.as_str();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{text}"
            );
            assert_eq!(text.parse(), Ok(*cause));
        }
    }

    #[test]
    fn no_spelling_is_used_twice() {
        let mut spellings: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        spellings.sort_unstable();
        spellings.dedup();
        assert_eq!(spellings.len(), Cause::ALL.len());
    }
}

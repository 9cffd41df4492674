//! Build tools, where the builder gave no typed finding: the tools' own codes and sentences.

use super::{Cause, Pattern, Subject, strong, weak};

pub(super) const TABLE: &[Pattern] = &[
    // Lock files.
    strong(
        &["npm ci", "can only install packages when"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(
        &["npm ci", "can only install with an existing package-lock"],
        Cause::LockfileMissing,
        Subject::None,
    ),
    strong(
        &["err_pnpm_outdated_lockfile"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(&["err_pnpm_no_lockfile"], Cause::LockfileMissing, Subject::None),
    strong(
        &["your lockfile needs to be updated"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(&["yn0028"], Cause::LockfileOutOfStep, Subject::None),
    strong(
        &["the lockfile at", "needs to be updated"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(&["missing go.sum entry"], Cause::LockfileOutOfStep, Subject::None),
    strong(
        &["updates to go.mod needed"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(
        &["inconsistent vendoring"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    strong(
        &["cannot update the lock file", "--locked"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
    // Dependencies.
    strong(&["eresolve"], Cause::DependencyConflict, Subject::None),
    strong(
        &["resolutionimpossible"],
        Cause::DependencyConflict,
        Subject::None,
    ),
    strong(
        &["no solution found when resolving"],
        Cause::DependencyConflict,
        Subject::None,
    ),
    strong(
        &["no matching distribution found for"],
        Cause::DependencyNotFound,
        Subject::After("no matching distribution found for"),
    ),
    strong(
        &["was not found in the package registry"],
        Cause::DependencyNotFound,
        Subject::Between("because ", " was not found"),
    ),
    strong(&["npm", "e404"], Cause::DependencyNotFound, Subject::None),
    strong(&["npm", "etarget"], Cause::DependencyNotFound, Subject::None),
    strong(
        &["npm", "enotfound"],
        Cause::DependencyRegistryUnreachable,
        Subject::None,
    ),
    strong(
        &["npm", "etimedout"],
        Cause::DependencyRegistryUnreachable,
        Subject::None,
    ),
    strong(
        &["npm", "econnreset"],
        Cause::DependencyRegistryUnreachable,
        Subject::None,
    ),
    strong(
        &["npm", "self_signed_cert_in_chain"],
        Cause::DependencyRegistryUnreachable,
        Subject::None,
    ),
    strong(
        &["pg_config", "not found"],
        Cause::DependencyNotCompilable,
        Subject::None,
    ),
    strong(
        &["failed building wheel for"],
        Cause::DependencyNotCompilable,
        Subject::After("failed building wheel for"),
    ),
    strong(
        &["failed to build `"],
        Cause::DependencyNotCompilable,
        Subject::Between("failed to build `", "`"),
    ),
    strong(
        &["gyp err!", "not found"],
        Cause::DependencyNotCompilable,
        Subject::None,
    ),
    strong(
        &["fatal error:", ".h: no such file"],
        Cause::DependencyNotCompilable,
        Subject::Between("fatal error: ", ": no such file"),
    ),
    strong(&["ebadengine"], Cause::RuntimeVersionMismatch, Subject::None),
    strong(
        &["the engine \"node\" is incompatible"],
        Cause::RuntimeVersionMismatch,
        Subject::None,
    ),
    strong(
        &["requires a different python"],
        Cause::RuntimeVersionMismatch,
        Subject::None,
    ),
    // Manifests and scripts.
    strong(&["ejsonparse"], Cause::ManifestInvalid, Subject::None),
    strong(&["invalid requirement"], Cause::ManifestInvalid, Subject::Quoted),
    strong(
        &["couldn't parse requirement"],
        Cause::ManifestInvalid,
        Subject::Quoted,
    ),
    strong(
        &["missing script:"],
        Cause::ScriptMissing,
        Subject::After("missing script:"),
    ),
    // Compilers.
    strong(
        &["treating warnings as errors because process.env.ci"],
        Cause::WarningsAsErrors,
        Subject::None,
    ),
    strong(
        &["javascript heap out of memory"],
        Cause::OwnHeapLimit,
        Subject::None,
    ),
    strong(&["error ts"], Cause::CompileError, Subject::None),
    strong(&[": error cs"], Cause::CompileError, Subject::None),
    strong(&[".java:", ": error:"], Cause::CompileError, Subject::None),
    weak(&[".go:", ": "], Cause::CompileError, Subject::None),
    strong(&["type error:"], Cause::CompileError, Subject::None),
    strong(&["error[e0"], Cause::CompileError, Subject::None),
    strong(&["syntaxerror:"], Cause::SyntaxError, Subject::None),
    strong(
        &["can't resolve", "module not found"],
        Cause::ModuleNotFound,
        Subject::Quoted,
    ),
    strong(
        &["could not resolve \""],
        Cause::ModuleNotFound,
        Subject::Between("could not resolve \"", "\""),
    ),
    strong(
        &["failed to resolve import"],
        Cause::ModuleNotFound,
        Subject::Quoted,
    ),
    strong(&["cannot find module"], Cause::ModuleNotFound, Subject::Quoted),
    strong(&["cannot find package"], Cause::ModuleNotFound, Subject::Quoted),
    strong(&["no module named"], Cause::ModuleNotFound, Subject::Quoted),
    // Files.
    strong(&["no space left on device"], Cause::DiskFull, Subject::None),
    strong(
        &["enoent: no such file or directory"],
        Cause::FileMissing,
        Subject::Quoted,
    ),
    strong(
        &["eacces: permission denied"],
        Cause::PermissionDenied,
        Subject::Quoted,
    ),
    weak(
        &["npm error code eusage"],
        Cause::LockfileOutOfStep,
        Subject::None,
    ),
];

//! Runtimes: what interpreters, virtual machines and servers print before they give up.

use super::{Cause, Pattern, Subject, strong, weak};

/// ES modules and CommonJS. Before the syntax errors that some of them are, at run time and in a build.
pub(super) const MODULE_SYSTEMS: &[Pattern] = &[
    strong(
        &["is not defined in es module scope"],
        Cause::ModuleSystemMismatch,
        Subject::None,
    ),
    strong(
        &["cannot use import statement outside a module"],
        Cause::ModuleSystemMismatch,
        Subject::None,
    ),
    strong(&["err_require_esm"], Cause::ModuleSystemMismatch, Subject::None),
    strong(
        &["require() of es module"],
        Cause::ModuleSystemMismatch,
        Subject::None,
    ),
    strong(
        &["err_require_async_module"],
        Cause::ModuleSystemMismatch,
        Subject::None,
    ),
];

/// Code that a generator makes. Before the missing modules that it is too, at run time and in a build.
pub(super) const GENERATED: &[Pattern] = &[
    strong(
        &["@prisma/client did not initialize yet"],
        Cause::GeneratedCodeMissing,
        Subject::None,
    ),
    strong(
        &["cannot find module '.prisma/client"],
        Cause::GeneratedCodeMissing,
        Subject::None,
    ),
];

pub(super) const TABLE: &[Pattern] = &[
    // Heap limits.
    strong(
        &["javascript heap out of memory"],
        Cause::OwnHeapLimit,
        Subject::None,
    ),
    strong(
        &["java.lang.outofmemoryerror"],
        Cause::OwnHeapLimit,
        Subject::After("java.lang.outofmemoryerror:"),
    ),
    strong(
        &["allowed memory size of", "exhausted"],
        Cause::OwnHeapLimit,
        Subject::None,
    ),
    strong(&["memoryerror"], Cause::OwnHeapLimit, Subject::None),
    // Modules.
    strong(&["cannot find module"], Cause::ModuleNotFound, Subject::Quoted),
    strong(&["cannot find package"], Cause::ModuleNotFound, Subject::Quoted),
    strong(&["no module named"], Cause::ModuleNotFound, Subject::Quoted),
    strong(&["cannot import name"], Cause::ModuleNotFound, Subject::Quoted),
    strong(
        &["failed to find attribute"],
        Cause::ModuleNotFound,
        Subject::Quoted,
    ),
    strong(
        &["attribute \"", "\" not found in module"],
        Cause::ModuleNotFound,
        Subject::Between("attribute \"", "\""),
    ),
    strong(
        &["could not import module"],
        Cause::ModuleNotFound,
        Subject::Quoted,
    ),
    strong(
        &["cannot load such file --"],
        Cause::ModuleNotFound,
        Subject::After("cannot load such file --"),
    ),
    strong(&["could not find gem"], Cause::ModuleNotFound, Subject::Quoted),
    strong(
        &["bundler::gemnotfound"],
        Cause::ModuleNotFound,
        Subject::After("could not find"),
    ),
    strong(
        &["could not find or load main class"],
        Cause::EntryFileMissing,
        Subject::After("main class"),
    ),
    strong(
        &["unable to access jarfile"],
        Cause::EntryFileMissing,
        Subject::After("jarfile"),
    ),
    strong(&["can't open file"], Cause::FileMissing, Subject::Quoted),
    strong(
        &["could not open input file:"],
        Cause::EntryFileMissing,
        Subject::After("input file:"),
    ),
    strong(&["failed opening required"], Cause::FileMissing, Subject::Quoted),
    strong(
        &["missing script:"],
        Cause::ScriptMissing,
        Subject::After("missing script:"),
    ),
    // Versions and syntax. Some runtimes compile at the start.
    strong(&["error ts"], Cause::CompileError, Subject::None),
    strong(
        &["unsupportedclassversionerror"],
        Cause::RuntimeVersionMismatch,
        Subject::None,
    ),
    strong(&["syntaxerror:"], Cause::SyntaxError, Subject::None),
    strong(&["indentationerror:"], Cause::SyntaxError, Subject::None),
    strong(&["php parse error"], Cause::SyntaxError, Subject::None),
    // Command lines.
    strong(
        &["unrecognized arguments:"],
        Cause::UsageError,
        Subject::After("unrecognized arguments:"),
    ),
    strong(&["unrecognized option"], Cause::UsageError, Subject::Quoted),
    strong(
        &["no such option"],
        Cause::UsageError,
        Subject::After("no such option"),
    ),
    strong(
        &["is not a valid port number"],
        Cause::UsageError,
        Subject::Quoted,
    ),
    strong(&["is not a valid integer"], Cause::UsageError, Subject::Quoted),
    // Files.
    strong(
        &["enoent: no such file or directory"],
        Cause::FileMissing,
        Subject::Quoted,
    ),
    strong(&["filenotfounderror"], Cause::FileMissing, Subject::Quoted),
    strong(&["erofs"], Cause::ReadOnlyFileSystem, Subject::Quoted),
    strong(
        &["read-only file system"],
        Cause::ReadOnlyFileSystem,
        Subject::Quoted,
    ),
    strong(&["no space left on device"], Cause::DiskFull, Subject::None),
    strong(
        &["listen eacces"],
        Cause::PrivilegedPort,
        Subject::After("permission denied"),
    ),
    strong(
        &["bind", "permission denied"],
        Cause::PrivilegedPort,
        Subject::None,
    ),
    strong(
        &["eacces: permission denied"],
        Cause::PermissionDenied,
        Subject::Quoted,
    ),
    strong(&["permissionerror:"], Cause::PermissionDenied, Subject::Quoted),
    weak(
        &["permission denied"],
        Cause::PermissionDenied,
        Subject::PartBefore(": permission denied"),
    ),
    weak(
        &["no such file or directory"],
        Cause::FileMissing,
        Subject::PartBefore(": no such file or directory"),
    ),
];

//! Loaders and shells: what they print when they cannot execute something.

use super::{Cause, Pattern, Subject, strong, weak};

pub(super) const LOADER: &[Pattern] = &[
    strong(
        &["error while loading shared libraries:"],
        Cause::SharedLibraryMissing,
        Subject::Between("shared libraries: ", ":"),
    ),
    strong(
        &["cannot open shared object file"],
        Cause::SharedLibraryMissing,
        Subject::PartBefore(": cannot open shared object file"),
    ),
    strong(
        &["error loading shared library"],
        Cause::SharedLibraryMissing,
        Subject::Between("shared library ", ":"),
    ),
    strong(
        &["version `glibc", "not found"],
        Cause::SharedLibraryVersion,
        Subject::Between("version `", "'"),
    ),
    strong(
        &["version `", "not found (required by"],
        Cause::SharedLibraryVersion,
        Subject::Between("version `", "'"),
    ),
    strong(
        &["exec format error"],
        Cause::WrongArchitecture,
        Subject::PartBefore(": exec format error"),
    ),
    strong(
        &["cannot execute binary file"],
        Cause::WrongArchitecture,
        Subject::PartBefore(": cannot execute binary file"),
    ),
];

pub(super) const SHELL: &[Pattern] = &[
    strong(&["^m: bad interpreter"], Cause::CrlfInScript, Subject::None),
    strong(&["\\r'", "no such file"], Cause::CrlfInScript, Subject::None),
    strong(&["\r: no such file"], Cause::CrlfInScript, Subject::None),
    strong(
        &["bad interpreter"],
        Cause::InterpreterMissing,
        Subject::PartBefore(": bad interpreter"),
    ),
    strong(
        &[": command not found"],
        Cause::CommandNotFound,
        Subject::PartBefore(": command not found"),
    ),
    strong(
        &["exec: ", ": not found"],
        Cause::CommandNotFound,
        Subject::PartBefore(": not found"),
    ),
    weak(
        &[": not found"],
        Cause::CommandNotFound,
        Subject::PartBefore(": not found"),
    ),
    weak(
        &[": permission denied"],
        Cause::NotExecutable,
        Subject::PartBefore(": permission denied"),
    ),
    weak(
        &[": no such file or directory"],
        Cause::CommandNotFound,
        Subject::PartBefore(": no such file or directory"),
    ),
];

//! Causes of commands that cannot be executed.

use super::{CausePage, app, platform};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::NoRunCommand => app(
            "There is no command to start",
            "The spec has no run_command, the builder found no process, and the image declares none (exit code 190).",
            "The spec, the Procfile, the builder's default and the image's ENTRYPOINT and CMD are all empty.",
            "Set run_command, or declare a process in a Procfile or Dockerfile.",
        ),
        Cause::CommandNotFound => app(
            "The command was not found",
            "The program is neither in the image nor in the PATH (exit code 127).",
            "ENOENT for the program itself, or a shell's exit code 127.",
            "Install it with the app's dependencies, or correct the command.",
        ),
        Cause::NotExecutable => app(
            "The file is not executable",
            "The file exists, but has no execute permission (exit code 126).",
            "EACCES and the file's mode, or a shell's exit code 126.",
            "Make it executable (`chmod +x`) and commit that, or start it with its interpreter.",
        ),
        Cause::IsDirectory => app(
            "The command is a directory",
            "The path of the command is a directory, which cannot be executed.",
            "The file's type.",
            "Name the program inside the directory.",
        ),
        Cause::InterpreterMissing => app(
            "The interpreter is missing",
            "The script's `#!` line, or the program's header, names an interpreter or loader that is not in the image.",
            "The first bytes of the file against the image.",
            "Install the interpreter, or build the program for this image's C library.",
        ),
        Cause::CrlfInScript => app(
            "Windows line endings in the script",
            "The script's `#!` line ends with a carriage return, so the kernel looks for an interpreter with that character in its name.",
            "The first line of the file.",
            "Save the script with Unix line endings.",
        ),
        Cause::WrongArchitecture => app(
            "Built for another architecture",
            "The image or the program is for another processor than this machine's.",
            "The image's manifest, or the program's header.",
            "Build it for this machine's architecture.",
        ),
        Cause::UnknownExecutableFormat => app(
            "Not a program",
            "The file is executable, but it is neither a program nor a script with a `#!` line.",
            "The first bytes of the file.",
            "Add a `#!` line, or start it with its interpreter.",
        ),
        Cause::WorkingDirectoryMissing => app(
            "The working directory does not exist",
            "The directory in which the command shall start is not in the image.",
            "The image's files.",
            "Create it in the image, or correct WORKDIR.",
        ),
        Cause::UserUnknown => app(
            "The user does not exist",
            "The user that the image asks for is not in its /etc/passwd.",
            "The image's /etc/passwd.",
            "Create the user in the image, or use its number.",
        ),
        Cause::ExecFailed => platform(
            "The command could not be started",
            "Starting the command failed for a reason that is none of the usual ones.",
            "The kernel's errno.",
            "Deploy again; if it happens again, look at the platform's log.",
        ),
        _ => return None,
    })
}

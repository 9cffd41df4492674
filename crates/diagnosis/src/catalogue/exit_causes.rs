//! Causes of processes that ended.

use super::{CausePage, app, upstream};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    status(cause)
        .or_else(|| configuration(cause))
        .or_else(|| files(cause))
        .or_else(|| network(cause))
}

fn status(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::ExitedWithError => app(
            "The app ended with an error",
            "The process ended by itself with another status than 0. Why was not observed: the last lines of its log are the evidence.",
            "The raw wait status.",
            "Read the last lines of the log, and start the same command locally with the same variables.",
        ),
        Cause::ExitedNormally => app(
            "The app ended although it should keep running",
            "The process ended by itself with exit code 0. That is right for a job, but a service or worker has to keep running.",
            "The raw wait status.",
            "Start the app in the foreground, or make it a job.",
        ),
        Cause::Aborted => app(
            "The app aborted",
            "The process ended itself by SIGABRT: a failed assertion, or a fatal error of its runtime.",
            "The raw wait status.",
            "Read the last lines of the log; the runtime prints why.",
        ),
        Cause::Crashed => app(
            "The app crashed",
            "The process was ended by a signal for an invalid instruction or memory access (SIGSEGV, SIGBUS, SIGILL, SIGFPE).",
            "The raw wait status.",
            "Look at native modules first: their version, and the architecture and C library they were built for.",
        ),
        Cause::KilledByUnknown => app(
            "Killed, sender unknown",
            "The process was killed by SIGKILL. It was not the kernel for memory, and not Mainstay; who sent it was not seen.",
            "The raw wait status, an unmoved counter of memory kills, and no stop asked for.",
            "Look for something inside the instance that kills processes.",
        ),
        Cause::EndedBySignal => app(
            "Ended by a signal",
            "The process was ended by a signal that nobody on the platform sent.",
            "The raw wait status.",
            "Look for something inside the instance that sends signals.",
        ),
        Cause::TerminationFailed => app(
            "Did not stop when asked",
            "The process was asked to stop, was still there after the grace period, and had to be killed (exit code 145).",
            "The time of the request, the grace period, and the kill.",
            "Handle SIGTERM, or raise grace_period_seconds.",
        ),
        Cause::OwnHeapLimit => app(
            "The runtime's own heap limit",
            "The language's runtime stopped at a heap limit of its own; the kernel killed nothing for memory.",
            "The exit, an unmoved counter of memory kills, and the runtime's own words.",
            "Raise the runtime's limit (for Node.js `NODE_OPTIONS=--max-old-space-size=…`), within the memory there is.",
        ),
        _ => return None,
    })
}

fn configuration(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::MissingEnv => app(
            "A variable is not set",
            "The app's log names a variable that it needs, and no variable of that name is set.",
            "The exit, and the name in the log against the names in the process.",
            "Add the variable to the component's envs, with the scope RUN_TIME or RUN_AND_BUILD_TIME.",
        ),
        Cause::EnvRefused => app(
            "A variable's value is refused",
            "The variable is set, but the app says that it cannot use its value.",
            "The exit, and the name in the log against the names in the process.",
            "Correct the value; an empty value counts as set.",
        ),
        Cause::ConfigurationRemoved => app(
            "A variable was removed by this deployment",
            "The app misses a variable that the last good deployment had, or has it empty. A spec update replaces the whole spec.",
            "The exit and the difference of the two specs, where the log names the variable or nothing else differs.",
            "Put the variable back into the spec.",
        ),
        Cause::UnresolvedReference => app(
            "A reference was not resolved",
            "A variable holds the literal text of a reference such as `${db.DATABASE_URL}`: no component of that name exists.",
            "The exit, and the literal text in the log.",
            "Correct the component's name in the reference, or add the component.",
        ),
        Cause::UnexpandedVariable => app(
            "A variable in the command was not expanded",
            "The command was executed without a shell, so that `$NAME` reached the program as it stands.",
            "The command as executed.",
            "Run it through a shell: `sh -c '…'`.",
        ),
        Cause::ShellSyntaxWithoutShell => app(
            "Shell syntax without a shell",
            "The command was executed without a shell, so that `&&`, `|` or `>` reached the program as arguments.",
            "The command as executed.",
            "Run it through a shell: `sh -c '…'`, or put the sequence into a script.",
        ),
        Cause::UsageError => app(
            "The command line is not understood",
            "The program refused its arguments.",
            "The exit code and the program's own words.",
            "Correct the arguments of run_command.",
        ),
        _ => return None,
    })
}

fn files(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::EntryFileMissing => app(
            "The entry file is not in the image",
            "The file that the command starts does not exist in the image; often no build step made it.",
            "The exit, and the path in the log against the command.",
            "Set a build_command that makes the file, or correct its path.",
        ),
        Cause::ModuleNotFound => app(
            "A module cannot be loaded",
            "The app imports a module that is not in the image.",
            "The exit, and the runtime's own error.",
            "Add the package to the manifest that the build installs, or correct the import.",
        ),
        Cause::FileMissing => app(
            "A file is missing",
            "The app or the step needs a file that is not there.",
            "The exit, and the path in the error (ENOENT).",
            "Commit or create the file, or correct its path.",
        ),
        Cause::ModuleSystemMismatch => app(
            "CommonJS and ES modules are mixed",
            "A file is loaded as the one kind of module and written as the other: `require` in an ES module, or `import` in CommonJS.",
            "The exit, and the error of Node.js.",
            "Let \"type\" in package.json agree with the code, or name the file .cjs or .mjs.",
        ),
        Cause::GeneratedCodeMissing => app(
            "Generated code is not there",
            "The app loads code that a generator makes of a schema, the Prisma client, and no step of the build made it.",
            "The exit, and the error of the client or of what loads it.",
            "Run the generator in the build: a postinstall script or the build command with `prisma generate`.",
        ),
        Cause::SyntaxError => app(
            "The code has a syntax error",
            "The interpreter cannot parse the code, or the code is written for another version of the language.",
            "The exit, and the interpreter's own error.",
            "Correct the line that it names.",
        ),
        Cause::SharedLibraryMissing => app(
            "A shared library is missing",
            "A program or extension needs a system library that the image does not have.",
            "The exit, and the loader's own words.",
            "Install the system package in the image, or use a build of the package that needs none.",
        ),
        Cause::SharedLibraryVersion => app(
            "A system library is too old",
            "A program was built against a newer system library than the image has.",
            "The exit, and the loader's own words.",
            "Build and run on the same base image.",
        ),
        Cause::PermissionDenied => app(
            "Permission denied",
            "The process may not read, write or execute something it needs.",
            "The exit, and the path in the error (EACCES).",
            "Give the app's user access to the path, or write to a directory of its own (such as /tmp).",
        ),
        Cause::ReadOnlyFileSystem => app(
            "The file system is read-only",
            "The process wants to write where nothing can be written.",
            "The exit, and the error (EROFS).",
            "Write to a directory of the app's own, such as /tmp.",
        ),
        _ => return None,
    })
}

fn network(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::PrivilegedPort => app(
            "The port needs privileges",
            "The app wants to listen on a port below 1024 without the right to do so.",
            "The exit, and the error of listen (EACCES).",
            "Listen on 8080, or another port from 1024 on, and set http_port to it.",
        ),
        Cause::AddressInUse => app(
            "The port is taken",
            "Something else in the instance listens on that port already.",
            "The exit, and the error of listen (EADDRINUSE).",
            "Start the server once, and give each program its own port.",
        ),
        Cause::HostNotFound => app(
            "A host name does not exist",
            "The app wants to connect to a name that does not resolve.",
            "The exit, and the error of the name lookup.",
            "Correct the host name; components of the app are reached by their own names.",
        ),
        Cause::ConnectionRefused => app(
            "A connection was refused",
            "The app ended while a connection that it wanted was refused.",
            "The connects of the instance that failed, or the app's own error.",
            "Check the address, and whether what it leads to is running.",
        ),
        Cause::ConnectionTimedOut => upstream(
            "A connection was not answered",
            "The app ended while a connection that it wanted was not answered.",
            "The connects of the instance that hang, or the app's own error.",
            "Check the address, and whether a firewall in between lets it through.",
        ),
        Cause::HostUnreachable => upstream(
            "A host cannot be reached",
            "There is no route to an address that the app wants to connect to.",
            "The connects of the instance that failed, or the app's own error.",
            "Check the address and the networks between.",
        ),
        Cause::TlsUntrusted => app(
            "A certificate is not trusted",
            "The app reached a server, but does not trust its certificate.",
            "The exit, and the app's own error.",
            "Give the app the certificate of the authority that signed it.",
        ),
        _ => return None,
    })
}

//! What breaks when an app starts.

use mainstay_diagnosis::{Cause, Code, facts::*};

use super::*;

#[test]
fn d3_shell_syntax_and_variables_without_a_shell() {
    let mut facts = exit_with(2, &["Error: '$PORT' is not a valid port number."]);
    let Subject::Instance(instance) = &mut facts.subject else {
        unreachable!()
    };
    instance.command.argv = ["gunicorn", "--bind", "0.0.0.0:$PORT", "app:app"]
        .map(str::to_owned)
        .to_vec();
    ends(
        &facts,
        Code::ContainerExitNonZero,
        Cause::UnexpandedVariable,
        "0.0.0.0:$PORT",
    );
}

#[test]
fn d4_the_entry_file_is_not_in_the_image() {
    let mut node = exit_with(
        1,
        &[
            "node:internal/modules/cjs/loader:1228",
            "  throw err;",
            "Error: Cannot find module '/workspace/dist/index.js'",
            "    at Function._resolveFilename (node:internal/modules/cjs/loader:1225:15)",
            "  code: 'MODULE_NOT_FOUND',",
            "  requireStack: []",
            "Node.js v22.11.0",
        ],
    );
    let Subject::Instance(instance) = &mut node.subject else {
        unreachable!()
    };
    instance.command.argv = ["node", "dist/index.js"].map(str::to_owned).to_vec();
    ends(
        &node,
        Code::ContainerExitNonZero,
        Cause::EntryFileMissing,
        "`/workspace/dist/index.js`",
    );

    let mut python = exit_with(
        2,
        &["python: can't open file '/workspace/main.py': [Errno 2] No such file or directory"],
    );
    let Subject::Instance(instance) = &mut python.subject else {
        unreachable!()
    };
    instance.command.argv = ["python", "main.py"].map(str::to_owned).to_vec();
    ends(
        &python,
        Code::ContainerExitNonZero,
        Cause::EntryFileMissing,
        "`/workspace/main.py`",
    );

    exits(
        1,
        &["Error: Unable to access jarfile app.jar"],
        Cause::EntryFileMissing,
        "`app.jar`",
    );
}

#[test]
fn d4_the_entry_of_a_package_managers_script() {
    let log = |line: &'static str| [line, "    at Function._resolveFilename", "Node.js v22.11.0"];
    exits(
        1,
        &log("Error: Cannot find module '/workspace/build/main.js'"),
        Cause::EntryFileMissing,
        "`/workspace/build/main.js`",
    );
    exits(
        1,
        &log(
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/workspace/lib/db.js' imported from /workspace/main.js",
        ),
        Cause::ModuleNotFound,
        "`/workspace/lib/db.js`",
    );
}

#[test]
fn d5_modules_that_cannot_be_loaded() {
    exits(
        1,
        &[
            "Error: Cannot find module 'express'",
            "Require stack:",
            "- /workspace/server.js",
            "Node.js v22.11.0",
        ],
        Cause::ModuleNotFound,
        "`express`",
    );
    exits(
        1,
        &["Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'express' imported from /workspace/server.js"],
        Cause::ModuleNotFound,
        "`express`",
    );
    exits(
        1,
        &["ModuleNotFoundError: No module named 'flask'"],
        Cause::ModuleNotFound,
        "`flask`",
    );
    exits(
        3,
        &[
            "ModuleNotFoundError: No module named 'app'",
            "[2026-11-22 12:00:00 +0000] [7] [INFO] Worker exiting (pid: 7)",
            "[ERROR] Reason: Worker failed to boot.",
        ],
        Cause::ModuleNotFound,
        "`app`",
    );
    exits(
        1,
        &["Error loading ASGI app. Could not import module \"main\"."],
        Cause::ModuleNotFound,
        "`main`",
    );
    exits(
        1,
        &[
            "<internal:/usr/lib/ruby/rubygems.rb>:136:in `require': cannot load such file -- sinatra (LoadError)",
        ],
        Cause::ModuleNotFound,
        "`sinatra`",
    );
    exits(
        4,
        &["Failed to find attribute 'app' in 'main'."],
        Cause::ModuleNotFound,
        "`app`",
    );
}

#[test]
fn d6_variables() {
    exits(
        1,
        &["Error: JWT_SECRET must be set"],
        Cause::MissingEnv,
        "`JWT_SECRET`",
    );
    exits(
        1,
        &["panic: environment variable STRIPE_KEY is not set"],
        Cause::MissingEnv,
        "`STRIPE_KEY`",
    );
    exits(
        1,
        &[
            "thread 'main' panicked at src/main.rs:9:5:",
            "DATABASE_URL must be set: NotPresent",
        ],
        Cause::MissingEnv,
        "`DATABASE_URL`",
    );
    exits(
        1,
        &[
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
            "SECRET_KEY",
            "  Field required [type=missing, input_value={}, input_type=dict]",
        ],
        Cause::MissingEnv,
        "`SECRET_KEY`",
    );
    exits(
        1,
        &["django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty."],
        Cause::MissingEnv,
        "`SECRET_KEY`",
    );
    exits(
        1,
        &["key not found: \"RAILS_MASTER_KEY\" (KeyError)"],
        Cause::MissingEnv,
        "`RAILS_MASTER_KEY`",
    );
}

#[test]
fn a_setting_named_in_lower_case_is_a_variable_in_upper_case() {
    let log = [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        "secret_key",
        "  Field required [type=missing]",
    ];
    exits(1, &log, Cause::MissingEnv, "`SECRET_KEY`");
}

#[test]
fn d8_references_that_did_not_resolve() {
    exits(
        1,
        &["TypeError: Invalid URL: '${db.DATABASE_URL}'"],
        Cause::UnresolvedReference,
        "`${db.DATABASE_URL}`",
    );
}

#[test]
fn d9_system_libraries() {
    exits(
        1,
        &["ImportError: libGL.so.1: cannot open shared object file: No such file or directory"],
        Cause::SharedLibraryMissing,
        "`libGL.so.1`",
    );
    exits(
        1,
        &["./hello: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by ./hello)"],
        Cause::SharedLibraryVersion,
        "`GLIBC_2.34`",
    );
}

#[test]
fn d10_d13_scripts_and_architectures_said_by_a_shell() {
    let no_such_interpreter = exit_with(
        126,
        &["/bin/sh: ./run.sh: /bin/bash^M: bad interpreter: No such file or directory"],
    );
    ends(
        &no_such_interpreter,
        Code::ContainerCommandNotExecutable,
        Cause::CrlfInScript,
        "code 126",
    );
    let architecture = exit_with(126, &["sh: 1: ./server: Exec format error"]);
    ends(
        &architecture,
        Code::ContainerCommandNotExecutable,
        Cause::WrongArchitecture,
        "code 126",
    );
    let denied = exit_with(126, &["sh: 1: ./start.sh: Permission denied"]);
    ends(
        &denied,
        Code::ContainerCommandNotExecutable,
        Cause::NotExecutable,
        "`./start.sh`",
    );
}

#[test]
fn d11_permissions_and_ports() {
    exits(
        1,
        &["Error: EACCES: permission denied, mkdir '/app/public/images'"],
        Cause::PermissionDenied,
        "`/app/public/images`",
    );
    exits(
        1,
        &["PermissionError: [Errno 13] Permission denied: '/data/db.sqlite3'"],
        Cause::PermissionDenied,
        "`/data/db.sqlite3`",
    );
    exits(
        1,
        &["Error: listen EACCES: permission denied 0.0.0.0:80"],
        Cause::PrivilegedPort,
        "0.0.0.0:80",
    );
    exits(
        1,
        &["listen tcp :80: bind: permission denied"],
        Cause::PrivilegedPort,
        "bind",
    );
    exits(
        1,
        &["Error: listen EADDRINUSE: address already in use :::8080"],
        Cause::AddressInUse,
        "8080",
    );
    exits(
        1,
        &["OSError: [Errno 98] Address already in use"],
        Cause::AddressInUse,
        "in use",
    );
}

#[test]
fn syntax_errors() {
    exits(
        1,
        &[
            "  File \"/workspace/app.py\", line 3",
            "    def f(:",
            "          ^",
            "SyntaxError: invalid syntax",
        ],
        Cause::SyntaxError,
        "SyntaxError",
    );
}

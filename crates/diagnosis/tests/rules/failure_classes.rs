//! The classes of failures that people meet, with the lines their tools print, in more than one language where the class depends on it.

use mainstay_diagnosis::{Cause, Code, facts::*};

use crate::world::*;

fn exit_with(code: i32, log: &[&str]) -> Facts {
    let mut facts = instance_facts(InstanceFacts {
        exits: vec![exited(code)],
        sockets: None,
        probe: None,
        ..instance()
    });
    facts.log_tail = log.iter().map(|line| (*line).to_owned()).collect();
    facts
}

fn step_with(code: i32, log: &[&str]) -> Facts {
    let mut facts = build_facts(failed_build(code));
    facts.log_tail = log.iter().map(|line| (*line).to_owned()).collect();
    facts
}

#[track_caller]
fn ends(facts: &Facts, code: Code, cause: Cause, said: &str) {
    let reason = reason(facts);
    assert_eq!((reason.code, reason.cause), (code, cause), "{}", reason.message);
    assert!(reason.message.contains(said), "{said}: {}", reason.message);
}

#[track_caller]
fn exits(code: i32, log: &[&str], cause: Cause, said: &str) {
    ends(&exit_with(code, log), Code::ContainerExitNonZero, cause, said);
}

#[track_caller]
fn fails(code: i32, log: &[&str], cause: Cause, said: &str) {
    ends(&step_with(code, log), Code::BuildJobExitNonZero, cause, said);
}

// === Builds ===

#[test]
fn b1_compile_errors() {
    fails(
        2,
        &["src/app.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'."],
        Cause::CompileError,
        "src/app.ts(3,7)",
    );
    fails(
        1,
        &[
            "./app/page.tsx:311:9",
            "Type error: Property 'component' does not exist on type 'Props'.",
        ],
        Cause::CompileError,
        "component",
    );
    fails(
        1,
        &["# shop", "./main.go:14:2: undefined: handler"],
        Cause::CompileError,
        "./main.go:14:2",
    );
    fails(
        101,
        &["error[E0425]: cannot find value `x` in this scope"],
        Cause::CompileError,
        "E0425",
    );
}

#[test]
fn b2_a_tool_is_not_there() {
    fails(
        127,
        &["> shop@1.0.0 build", "> vite build", "", "sh: 1: vite: not found"],
        Cause::CommandNotFound,
        "`vite`",
    );
}

#[test]
fn b4_lock_files() {
    fails(
        1,
        &[
            "npm error code EUSAGE",
            "npm error",
            "npm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing.",
            "npm error",
            "npm error Missing: left-pad@1.3.0 from lock file",
        ],
        Cause::LockfileOutOfStep,
        "lock file",
    );
    fails(
        1,
        &[
            "npm error code EUSAGE",
            "npm error The `npm ci` command can only install with an existing package-lock.json or",
            "npm error npm-shrinkwrap.json with lockfileVersion >= 1. Run an install with npm@5 or",
        ],
        Cause::LockfileMissing,
        "lock file",
    );
    fails(
        1,
        &[
            " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \"frozen-lockfile\" because pnpm-lock.yaml is not up to date with package.json",
        ],
        Cause::LockfileOutOfStep,
        "pnpm-lock.yaml",
    );
    fails(
        1,
        &["error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`."],
        Cause::LockfileOutOfStep,
        "frozen-lockfile",
    );
    fails(
        1,
        &["go: updates to go.mod needed; to update it:", "\tgo mod tidy"],
        Cause::LockfileOutOfStep,
        "go.mod",
    );
    fails(
        1,
        &["main.go:4:2: missing go.sum entry for module providing package example.com/x"],
        Cause::LockfileOutOfStep,
        "go.sum",
    );
}

#[test]
fn b5_versions() {
    fails(
        1,
        &[
            "error shop@1.0.0: The engine \"node\" is incompatible with this module. Expected version \">=20\". Got \"18.20.0\"",
        ],
        Cause::RuntimeVersionMismatch,
        ">=20",
    );
    fails(
        1,
        &["ERROR: Package 'shop' requires a different Python: 3.9.2 not in '>=3.11'"],
        Cause::RuntimeVersionMismatch,
        "3.9.2",
    );
}

#[test]
fn b6_a_variable_is_missing_in_the_build() {
    fails(
        1,
        &["Error: Environment variable not found: DATABASE_URL."],
        Cause::MissingBuildEnv,
        "`DATABASE_URL`",
    );
    fails(
        1,
        &["KeyError: 'SECRET_KEY'"],
        Cause::MissingBuildEnv,
        "`SECRET_KEY`",
    );
}

#[test]
fn b8_the_tools_own_heap_limit() {
    fails(
        134,
        &[
            "FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory",
        ],
        Cause::OwnHeapLimit,
        "heap",
    );
}

#[test]
fn b10_b11_imports_and_warnings() {
    fails(
        1,
        &["Module not found: Error: Can't resolve './CountyMap' in '/workspace/src'"],
        Cause::ModuleNotFound,
        "./CountyMap",
    );
    fails(
        1,
        &[
            "Treating warnings as errors because process.env.CI = true.",
            "Failed to compile.",
            "[eslint]",
            "src/App.js",
            "  Line 1:8:  'logo' is defined but never used  no-unused-vars",
        ],
        Cause::WarningsAsErrors,
        "CI=true",
    );
}

#[test]
fn b14_dependencies_that_have_to_be_compiled() {
    fails(
        1,
        &["Error: pg_config executable not found."],
        Cause::DependencyNotCompilable,
        "pg_config",
    );
    fails(
        1,
        &[
            "  x Failed to build `psycopg2==2.9.9`",
            "  |-> The build backend returned an error",
        ],
        Cause::DependencyNotCompilable,
        "psycopg2",
    );
    fails(
        1,
        &["  ERROR: Failed building wheel for lxml"],
        Cause::DependencyNotCompilable,
        "lxml",
    );
    fails(
        1,
        &["src/binding.c:1:10: fatal error: Python.h: No such file or directory"],
        Cause::DependencyNotCompilable,
        "Python.h",
    );
}

#[test]
fn manifests_and_dependencies() {
    fails(
        2,
        &[
            "error: Couldn't parse requirement in `requirements.txt` at position 12",
            "  Caused by: Expected one of `@`, `(`, `<`, found `!`",
        ],
        Cause::ManifestInvalid,
        "requirements.txt",
    );
    fails(
        1,
        &["ERROR: Invalid requirement: 'flask=!2': Expected end or semicolon"],
        Cause::ManifestInvalid,
        "flask=!2",
    );
    fails(
        1,
        &[
            "npm error code EJSONPARSE",
            "npm error JSON.parse Expected ',' or '}' after property value in JSON at position 120",
        ],
        Cause::ManifestInvalid,
        "EJSONPARSE",
    );
    fails(
        1,
        &["npm error Missing script: \"build\""],
        Cause::ScriptMissing,
        "`build`",
    );
    fails(
        1,
        &[
            "npm error code ERESOLVE",
            "npm error ERESOLVE unable to resolve dependency tree",
        ],
        Cause::DependencyConflict,
        "ERESOLVE",
    );
    fails(
        1,
        &["ERROR: No matching distribution found for flask==99.0"],
        Cause::DependencyNotFound,
        "flask==99.0",
    );
    fails(
        1,
        &[
            "  x No solution found when resolving dependencies:",
            "  |-> Because there is no version of flask==99.0 ...",
        ],
        Cause::DependencyConflict,
        "No solution found",
    );
    fails(
        1,
        &[
            "npm error code E404",
            "npm error 404 Not Found - GET https://registry.example/leftpadd",
        ],
        Cause::DependencyNotFound,
        "404",
    );
}

#[test]
fn a_plain_exit_code_of_the_users_own_has_no_invented_cause() {
    fails(7, &["one moment", "done"], Cause::StepFailed, "code 7");
    fails(125, &[], Cause::StepFailed, "code 125");
}

// === Starts ===

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

// === Databases in plain variables ===

#[test]
fn databases_as_the_app_sees_them() {
    let none = "Error: connect ECONNREFUSED 127.0.0.1:5432";
    exits(1, &[none], Cause::DatabaseNotConfigured, "127.0.0.1:5432");
    exits(
        1,
        &["Error: connect ECONNREFUSED 10.0.0.5:5432"],
        Cause::DatabaseRefused,
        "10.0.0.5:5432",
    );
    exits(
        1,
        &["Error: connect ETIMEDOUT 10.0.0.5:3306"],
        Cause::DatabaseTimedOut,
        "10.0.0.5:3306",
    );
    exits(
        1,
        &["Error: connect ECONNREFUSED 10.0.0.5:9999"],
        Cause::ConnectionRefused,
        "10.0.0.5:9999",
    );
    exits(
        1,
        &["Error: getaddrinfo ENOTFOUND db.internal"],
        Cause::HostNotFound,
        "db.internal",
    );
    exits(
        1,
        &["error: password authentication failed for user \"shop\""],
        Cause::DatabaseAuth,
        "shop",
    );
    exits(
        1,
        &["Access denied for user 'shop'@'10.0.0.2' (using password: YES)"],
        Cause::DatabaseAuth,
        "shop",
    );
    exits(
        1,
        &["FATAL:  sorry, too many clients already"],
        Cause::DatabaseConnectionsExhausted,
        "too many clients",
    );
    exits(
        1,
        &["FATAL:  database \"shop\" does not exist"],
        Cause::DatabaseMissing,
        "shop",
    );
    exits(
        1,
        &["ERROR:  permission denied for schema public"],
        Cause::DatabasePermission,
        "public",
    );
    exits(
        1,
        &["sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgres"],
        Cause::DatabaseUrlScheme,
        "postgres",
    );
    exits(
        1,
        &[
            "Error: P3009",
            "migrate found failed migrations in the target database",
        ],
        Cause::MigrationBlocked,
        "failed migrations",
    );
    exits(
        1,
        &["psycopg2.OperationalError: SSL error: certificate verify failed"],
        Cause::DatabaseTlsUntrusted,
        "certificate",
    );
    exits(
        1,
        &["Error: self-signed certificate in certificate chain"],
        Cause::TlsUntrusted,
        "certificate",
    );
}

// === No false causes ===

#[test]
fn harmless_words_are_no_cause() {
    exits(
        3,
        &[
            "INFO starting",
            "INFO health check ok",
            "killed 3 tasks, 0 errors",
        ],
        Cause::ExitedWithError,
        "code 3",
    );
    exits(
        1,
        &["GET /missing 404", "POST /required 200"],
        Cause::ExitedWithError,
        "code 1",
    );
    exits(
        1,
        &["INFO: missing translations for DE, using EN"],
        Cause::ExitedWithError,
        "code 1",
    );
}

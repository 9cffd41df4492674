//! What breaks while an app is built.

use mainstay_diagnosis::Cause;

use super::*;

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

//! How a refined cause of a build step is said: what was missed, and what the source, the spec or the steps before say about it.

use super::generated;
use crate::{
    Cause, NextStep,
    facts::{BuildFacts, Clue, Facts, RunTimeVariable, StepFacts, StepOrigin},
    words,
};

/// How much of a tool's line goes into a message.
const LINE_MAX: usize = 160;

/// What a tool or a line of the log said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) cause: Cause,
    /// Empty: the log.
    pub(super) tool: &'a str,
    pub(super) line: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) clue: Option<&'a Clue>,
}

/// Continues "`npm ci` exited with code 1".
pub(super) fn clause(build: &BuildFacts, step: &StepFacts, said: Said<'_>) -> String {
    let line = words::excerpt(said.line, LINE_MAX)
        .trim_end_matches('.')
        .to_owned();
    let subject = said.subject.unwrap_or_default();
    match said.cause {
        Cause::LockfileOutOfStep if subject.is_empty() => {
            format!(" because the lock file and the manifest disagree: {line}")
        }
        Cause::LockfileOutOfStep => {
            format!(" because the lock file and the manifest disagree (`{subject}`): {line}")
        }
        Cause::LockfileMissing => lock_file_missing(said, &line),
        Cause::RuntimeVersionMismatch => format!(": {line}{}", version(build, said)),
        Cause::DependencyNotCompilable => not_compilable(build, said, &line),
        Cause::OwnHeapLimit => format!(": {}: {line}", own_heap_limit(build, step)),
        Cause::WarningsAsErrors => {
            let place = if subject.is_empty() {
                line
            } else {
                format!("{subject}: {line}")
            };
            format!(" on a warning, because CI=true makes the tool count warnings as errors: {place}")
        }
        Cause::GeneratedCodeMissing => format!(": {}: {line}", generated::CLAUSE),
        _ if subject.is_empty() => plain(&line),
        Cause::DevDependencyMissing => dev_dependency(said, subject),
        Cause::MissingBuildEnv => match said.clue {
            Some(Clue::ReadBy { file, line: at }) => format!(
                ": {file} line {at} reads the variable `{subject}`, {}; {} says: {line}",
                not_set(build, subject),
                said.tool
            ),
            _ => format!(": it needs the variable `{subject}`, {}", not_set(build, subject)),
        },
        Cause::FileNameCase
        | Cause::FileNotInBuildContext
        | Cause::FileExcludedByIgnoreRule
        | Cause::FileMissing => file(step, said, subject),
        Cause::CrlfInScript => format!(
            ": `{subject}` has Windows line ends (CR LF), so the interpreter that its first line names is not found"
        ),
        Cause::CommandNotFound => format!(": `{subject}` was not found in the build"),
        Cause::ScriptMissing => format!(": the script `{subject}` is not defined in the manifest"),
        Cause::ModuleNotFound => format!(": `{subject}` cannot be found"),
        Cause::DependencyNotFound => format!(": the registry has no `{subject}`"),
        _ if said.line.contains(subject) => plain(&line),
        _ => format!("{} ({subject})", plain(&line)),
    }
}

fn plain(line: &str) -> String {
    if line.is_empty() {
        String::new()
    } else {
        format!(": {line}")
    }
}

fn lock_file_missing(said: Said<'_>, line: &str) -> String {
    let file = said
        .subject
        .map_or_else(|| "the lock file".to_owned(), |file| format!("`{file}`"));
    match said.clue {
        Some(Clue::IgnoredBy { rule, .. }) if rule.contains(".dockerignore") => {
            format!(" because {file} is kept out of the build context by {rule}")
        }
        Some(Clue::IgnoredBy { rule, .. }) => {
            format!(" because {file} is not in the source: {rule} excludes it")
        }
        Some(Clue::OtherLockFiles { files }) => format!(
            " because {file} is not in the source, which has {} of another tool",
            words::quoted_list(files, 3)
        ),
        _ => format!(" because the lock file is not in the source: {line}"),
    }
}

fn dev_dependency(said: Said<'_>, subject: &str) -> String {
    match said.clue {
        Some(Clue::LeftOut { manifest, reason }) => format!(
            " because `{subject}` is not installed: {manifest} declares it for development, and {reason}"
        ),
        _ => format!(
            " because `{subject}` is not installed; it is in devDependencies, and those were left out"
        ),
    }
}

/// Why a variable is not there.
fn not_set(build: &BuildFacts, name: &str) -> String {
    match run_time_variable(build, name) {
        Some(RunTimeVariable {
            database: Some(database),
            ..
        }) => {
            format!(
                "which takes its value from the database `{database}`; databases do not exist during a build"
            )
        }
        Some(variable) => format!(
            "which the spec scopes {}, so the build does not see it",
            variable.scope
        ),
        None => "which is not set during the build".to_owned(),
    }
}

pub(super) fn run_time_variable<'a>(build: &'a BuildFacts, name: &str) -> Option<&'a RunTimeVariable> {
    build
        .run_time_variables
        .iter()
        .find(|variable| variable.name == name)
}

fn file(step: &StepFacts, said: Said<'_>, subject: &str) -> String {
    match said.clue {
        Some(Clue::NotCopied { path }) if step.origin == StepOrigin::DockerfileRun => format!(
            ": `{subject}` does not exist in the image; the source has `{path}`, and no instruction before copied it there"
        ),
        Some(Clue::NotCopied { path }) => {
            format!(": `{subject}` does not exist where it looks; the source has it as `{path}`")
        }
        Some(Clue::SpeltAs { actual }) => format!(
            ": `{subject}` does not exist, but the source has `{actual}`; they differ only in letter case, which Linux tells apart"
        ),
        Some(Clue::IgnoredBy { rule, .. }) if said.cause == Cause::FileExcludedByIgnoreRule => {
            format!(": `{subject}` is in the source, but {rule} keeps it out of the build context")
        }
        Some(Clue::IgnoredBy { rule, .. }) => {
            format!(": `{subject}` is not in the source, because {rule} excludes it")
        }
        Some(Clue::LiesAt { path }) => format!(": `{subject}` does not exist there; the source has `{path}`"),
        Some(Clue::OutsideOfSource { path, source_dir }) => format!(
            ": `{subject}` does not exist; `{path}` lies outside of source_dir `{source_dir}`, which is all that the build sees"
        ),
        _ if said.cause == Cause::FileNameCase => {
            format!(
                ": `{subject}` does not exist in this spelling; a file of the source differs by letter case"
            )
        }
        _ => format!(": `{subject}` does not exist"),
    }
}

/// "; node 22.1.0 was used because package.json names no engines.node".
fn version(build: &BuildFacts, said: Said<'_>) -> String {
    let reason_of = |name: &str| {
        let found = build.version_reasons.iter().find(|(tool, _)| tool == name);
        found.map(|(_, reason)| reason.as_str())
    };
    let language = language(said.tool);
    let used = language.and_then(|language| build.tools.iter().find(|(tool, _)| tool == language));
    let reason = language.and_then(reason_of);
    match (used, reason, reason_of(BASE_IMAGE)) {
        (Some((tool, version)), Some(reason), _) => format!("; {tool} {version} was used because {reason}"),
        (Some((tool, version)), None, _) => format!("; {tool} {version} was used"),
        (None, _, Some(image)) => format!("; the version comes with the base image {image}"),
        (None, _, None) => String::new(),
    }
}

/// The entry of `version_reasons` that stands for a Dockerfile's `FROM`.
const BASE_IMAGE: &str = "base image";

/// The language whose version a tool complains about.
fn language(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "npm" | "yarn" | "pnpm" | "bun" | "node" | "next" | "vite" | "webpack" | "node-gyp" => "node",
        "uv" | "pip" | "python" => "python",
        "go" => "go",
        "hugo" => "hugo",
        "cargo" | "rustc" => "rust",
        "composer" | "php" => "php",
        "bundler" => "ruby",
        _ => return None,
    })
}

fn not_compilable(build: &BuildFacts, said: Said<'_>, line: &str) -> String {
    let language =
        language(said.tool).and_then(|language| build.tools.iter().find(|(tool, _)| tool == language));
    let with = language.map_or(String::new(), |(tool, version)| format!(" for {tool} {version}"));
    match (said.clue, said.subject) {
        (Some(Clue::Needs { what }), Some(package)) if package != what => format!(
            ": `{package}` has to be compiled{with}, which needs `{what}`, and that is not in the build's image"
        ),
        (Some(Clue::Needs { what }), _) => {
            format!(
                ": a dependency has to be compiled{with}, which needs `{what}`, and that is not in the build's image"
            )
        }
        (_, Some(package)) => format!(": `{package}` has to be compiled{with} and cannot be: {line}"),
        (_, None) => plain(line),
    }
}

fn own_heap_limit(build: &BuildFacts, step: &StepFacts) -> String {
    let peak = step.memory.peak_bytes.or(build.memory.peak_bytes);
    let limit = step.memory.limit_bytes.or(build.memory.limit_bytes);
    match (peak, limit) {
        (Some(peak), Some(limit)) => format!(
            "the program gave up at its own heap limit, not at the build's (memory peaked at {} of {})",
            words::bytes(peak),
            words::bytes(limit)
        ),
        _ => "the program gave up at its own heap limit; the kernel killed nothing".to_owned(),
    }
}

pub(super) fn next_steps(
    facts: &Facts,
    build: &BuildFacts,
    step: &StepFacts,
    said: Said<'_>,
) -> Vec<NextStep> {
    let subject = said.subject.unwrap_or_default();
    match said.cause {
        Cause::MissingBuildEnv if matches!(said.clue, Some(Clue::ReadBy { .. })) => {
            vec![give_secret(facts, step, subject)]
        }
        Cause::MissingBuildEnv if !subject.is_empty() => vec![give_to_build(facts, build, subject)],
        Cause::OwnHeapLimit if matches!(said.tool, "" | "node") => vec![raise_heap(facts, build)],
        Cause::GeneratedCodeMissing => generated::next_steps(facts, step.origin == StepOrigin::DockerfileRun),
        Cause::LockfileOutOfStep => vec![update_lock_file(said.tool)],
        Cause::LockfileMissing => vec![commit_lock_file(said, subject)],
        Cause::DevDependencyMissing => dev_dependency_steps(facts, said, subject),
        Cause::RuntimeVersionMismatch => vec![pin_version(step, said.tool)],
        Cause::DependencyNotCompilable => vec![avoid_compiling(step, said)],
        Cause::WarningsAsErrors => vec![
            NextStep::new("Correct the warning, or switch CI off for the build.").with_spec(
                words::spec_lines(
                    facts,
                    &["envs:\n- key: CI\n  scope: BUILD_TIME\n  value: \"false\""],
                ),
            ),
        ],
        _ => Vec::new(),
    }
}

fn give_to_build(facts: &Facts, build: &BuildFacts, name: &str) -> NextStep {
    let comes_from_database =
        run_time_variable(build, name).is_some_and(|variable| variable.database.is_some());
    if comes_from_database {
        return NextStep::new(format!(
            "Do not read `{name}` during the build: a database's values exist at run time only. Do it in a PRE_DEPLOY job or at the start."
        ));
    }
    NextStep::new(format!(
        "Give `{name}` to the build (a database's values exist at run time only)."
    ))
    .with_spec(words::spec_lines(
        facts,
        &[&format!(
            "envs:\n- key: {name}\n  scope: RUN_AND_BUILD_TIME\n  value: <value>"
        )],
    ))
}

/// What enters a registry is nothing for the running app, and nothing for eyes.
fn give_secret(facts: &Facts, step: &StepFacts, name: &str) -> NextStep {
    let text = if step.origin == StepOrigin::DockerfileRun {
        format!(
            "Give `{name}` to the build, as a secret, and to the step: `RUN --mount=type=secret,id={name},env={name} …`."
        )
    } else {
        format!("Give `{name}` to the build, as a secret (RUN_AND_BUILD_TIME if the app reads it, too).")
    };
    NextStep::new(text).with_spec(words::spec_lines(
        facts,
        &[&format!(
            "envs:\n- key: {name}\n  scope: BUILD_TIME\n  type: SECRET\n  value: <value>"
        )],
    ))
}

/// Three quarters of the build's memory leave room for everything beside the heap.
fn raise_heap(facts: &Facts, build: &BuildFacts) -> NextStep {
    let megabytes = build
        .memory
        .limit_bytes
        .map_or(3072, |limit| limit / (1 << 20) * 3 / 4);
    NextStep::new("Raise Node.js's own limit, within the build's memory.").with_spec(words::spec_lines(
        facts,
        &[&format!(
            "envs:\n- key: NODE_OPTIONS\n  scope: BUILD_TIME\n  value: --max-old-space-size={megabytes}"
        )],
    ))
}

fn update_lock_file(tool: &str) -> NextStep {
    let step = NextStep::new("Update the lock file and commit it.");
    match tool {
        "npm" => step.with_command("npm install"),
        "yarn" => step.with_command("yarn install"),
        "pnpm" => step.with_command("pnpm install"),
        "bun" => step.with_command("bun install"),
        "uv" => step.with_command("uv lock"),
        "poetry" => step.with_command("poetry lock"),
        "pipenv" => step.with_command("pipenv lock"),
        "go" => step.with_command("go mod tidy"),
        "cargo" => step.with_command("cargo update --workspace"),
        "composer" => step.with_command("composer update"),
        "bundler" => step.with_command("bundle lock"),
        _ => step,
    }
}

fn commit_lock_file(said: Said<'_>, file: &str) -> NextStep {
    let file = if file.is_empty() { "the lock file" } else { file };
    match said.clue {
        Some(Clue::IgnoredBy { rule, .. }) => NextStep::new(format!("Take out {rule}, and commit {file}.")),
        Some(Clue::OtherLockFiles { files }) => NextStep::new(format!(
            "Install with the tool that {} belongs to, or commit {file}.",
            words::list(files, 1)
        )),
        _ => NextStep::new(format!("Commit {file}.")),
    }
}

fn dev_dependency_steps(facts: &Facts, said: Said<'_>, tool: &str) -> Vec<NextStep> {
    let pruned = matches!(said.clue, Some(Clue::LeftOut { reason, .. }) if reason.contains("removed them"));
    let mut steps = Vec::new();
    if pruned {
        steps.push(NextStep::new(
            "Do not build twice: the steps before have built already, so leave build_command out.",
        ));
    }
    if !tool.is_empty() {
        steps.push(NextStep::new(format!(
            "Move `{tool}` to the dependencies of the manifest."
        )));
    }
    if matches!(said.clue, Some(Clue::LeftOut { reason, .. }) if reason.contains("NODE_ENV")) {
        steps.push(
            NextStep::new("Or set NODE_ENV for the run alone.").with_spec(words::spec_lines(
                facts,
                &["envs:\n- key: NODE_ENV\n  scope: RUN_TIME\n  value: production"],
            )),
        );
    }
    steps
}

fn pin_version(step: &StepFacts, tool: &str) -> NextStep {
    if step.origin == StepOrigin::DockerfileRun {
        return NextStep::new("Use a base image with a version that fits (FROM).");
    }
    NextStep::new(match language(tool) {
        Some("node") => "Pin the version in package.json: \"engines\": {\"node\": \"<range>\"}.",
        Some("python") => "Pin the version in the file .python-version.",
        Some("go") => "Pin the version in go.mod: `go <version>`.",
        Some("hugo") => "Pin the version by the build variable HUGO_VERSION.",
        _ => "Pin the version in the file that the builder reads.",
    })
}

/// Packages that are also published with their binary.
const PREBUILT: &[(&str, &str)] = &[
    ("psycopg2", "psycopg2-binary"),
    ("bcrypt", "bcryptjs"),
    ("mysqlclient", "PyMySQL"),
];

fn avoid_compiling(step: &StepFacts, said: Said<'_>) -> NextStep {
    let package = said.subject.unwrap_or_default();
    let name = package.split(['=', '@', ' ']).next().unwrap_or_default();
    let known = PREBUILT.iter().find(|(plain, _)| *plain == name);
    let first = match known {
        Some((_, other)) => format!("Use `{other}`, which comes compiled"),
        None => "Use a release that comes compiled".to_owned(),
    };
    let what = match said.clue {
        Some(Clue::Needs { what }) => format!("what provides `{what}`"),
        _ => "a compiler".to_owned(),
    };
    let second = if step.origin == StepOrigin::DockerfileRun {
        format!("or install {what} in a RUN before")
    } else {
        format!("or build with a Dockerfile that installs {what}")
    };
    NextStep::new(format!("{first}, {second}."))
}

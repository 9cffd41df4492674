//! How a refined cause of a process is said: the wording for the message, and the next steps.

use super::{connections, generated, left_out, pattern::Hit};
use crate::{
    Cause, NextStep,
    facts::{Facts, InstanceFacts},
    words,
};

/// How much of a log line goes into a message.
const LINE_MAX: usize = 160;

/// For processes: continues "… exited with code 1 (general error)".
pub(super) fn run(instance: &InstanceFacts, hit: &Hit) -> String {
    let line = words::excerpt_at(&hit.line, hit.mark, LINE_MAX);
    let line = line.trim_end_matches('.');
    if hit.cause == Cause::GeneratedCodeMissing {
        return format!(": {}; its log says: {line}", generated::CLAUSE);
    }
    let Some(subject) = &hit.subject else {
        return format!("; its log says: {line}");
    };
    match hit.cause {
        Cause::MissingEnv => format!(": its log asks for `{subject}`, and no variable of that name is set"),
        Cause::ConfigurationRemoved => {
            format!(
                ": it needs `{subject}`, which the last good deployment set and this one's spec does not (the submitted spec did not \
                 contain it, or contained it empty)"
            )
        }
        Cause::EnvRefused => format!(": its log refuses the value of `{subject}` (which is set): {line}"),
        Cause::UnresolvedReference => {
            format!(
                ": its log shows the reference `{subject}` as literal text, so no component of that name was found"
            )
        }
        Cause::EntryFileMissing => format!(": `{subject}`, which its command starts, is not in the image"),
        Cause::ModuleNotFound => format!(": its log says that `{subject}` cannot be loaded"),
        Cause::DevDependencyMissing => left_out::wording(instance, subject),
        Cause::SharedLibraryMissing => format!(": the image lacks the shared library `{subject}`"),
        Cause::SharedLibraryVersion => {
            format!(": it needs `{subject}`, and the image's system library is older")
        }
        Cause::CommandNotFound => format!(": `{subject}`, which it runs, was not found"),
        Cause::NotExecutable => format!(": `{subject}`, which it runs, has no execute permission"),
        Cause::PermissionDenied => {
            let user = instance
                .command
                .user
                .as_ref()
                .map_or(String::new(), |user| format!(" (it runs as `{user}`)"));
            format!(": permission denied for `{subject}`{user}")
        }
        Cause::FileMissing => format!(": `{subject}` does not exist"),
        Cause::DatabaseObjectMissing => {
            format!(": the database that it reached has no `{subject}`; its log says: {line}")
        }
        _ => format!("; its log says: {line}"),
    }
}

pub(super) fn run_steps(facts: &Facts, instance: &InstanceFacts, hit: &Hit) -> Vec<NextStep> {
    let variable = |name: &str| {
        words::spec_lines(
            facts,
            &[&format!(
                "envs:\n- key: {name}\n  scope: RUN_TIME\n  value: <value>"
            )],
        )
    };
    let subject = hit.subject.as_deref();
    match (hit.cause, subject) {
        (Cause::MissingEnv, Some(name)) => {
            vec![NextStep::new(format!("Set `{name}` on this component.")).with_spec(variable(name))]
        }
        (Cause::ConfigurationRemoved, Some(name)) => vec![
            NextStep::new(format!(
                "Put `{name}` back: a spec update replaces the whole spec, so what it leaves out is gone."
            ))
            .with_spec(variable(name)),
        ],
        (Cause::EntryFileMissing, Some(path)) => entry_steps(facts, instance, path),
        (Cause::OwnHeapLimit, _) => heap_steps(facts, instance.size.memory_bytes, hit),
        (Cause::PrivilegedPort, _) => {
            vec![
                NextStep::new("Listen on 8080 and set http_port to it.")
                    .with_spec(words::spec_lines(facts, &["http_port: 8080"])),
            ]
        }
        (Cause::DevDependencyMissing, Some(name)) => left_out::next_steps(facts, instance, name),
        (Cause::GeneratedCodeMissing, _) => {
            let builder = instance.builder.as_ref();
            generated::next_steps(
                facts,
                builder.is_some_and(|builder| builder.builder == "dockerfile"),
            )
        }
        (Cause::DatabaseObjectMissing, _) => vec![migrate(instance)],
        (cause, _) => connections::next_steps(facts, cause),
    }
}

/// Before the app, or before the job that misses it.
fn migrate(instance: &InstanceFacts) -> NextStep {
    if instance.job.is_some() {
        return NextStep::new("Run the migrations before this job, or correct the name that it asks for.");
    }
    NextStep::new("Run the migrations before the app starts.").with_spec(
        "jobs:\n- name: migrate\n  kind: PRE_DEPLOY\n  run_command: <the command that migrates>\n  envs: <the same as here>",
    )
}

fn entry_steps(facts: &Facts, instance: &InstanceFacts, path: &str) -> Vec<NextStep> {
    let built = instance.builder.as_ref().map_or(String::new(), |builder| {
        format!(" It was built by {} ({}).", builder.builder, builder.reason)
    });
    vec![
        NextStep::new(format!(
            "If a build step makes `{path}`, set it as the build command.{built}"
        ))
        .with_spec(words::spec_lines(
            facts,
            &["build_command: <the command that makes it>"],
        )),
        NextStep::new("Otherwise correct the path in the command; it counts from source_dir."),
    ]
}

fn heap_steps(facts: &Facts, memory_bytes: u64, hit: &Hit) -> Vec<NextStep> {
    if !hit.line.to_ascii_lowercase().contains("javascript") || memory_bytes == 0 {
        return Vec::new();
    }
    let megabytes = memory_bytes / (1 << 20) * 3 / 4;
    vec![
        NextStep::new("Raise Node.js's own limit, within the instance's memory.").with_spec(
            words::spec_lines(
                facts,
                &[&format!(
                    "envs:\n- key: NODE_OPTIONS\n  value: --max-old-space-size={megabytes}"
                )],
            ),
        ),
    ]
}

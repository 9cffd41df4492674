//! Commands that cannot be executed: refused before the start, refused by the kernel, or 126/127 before the instance was ever ready.

use super::{Finding, command, decisive_exit, memory, variables};
use crate::{
    Blame, Cause, Code, Evidence, NextStep, Retry,
    facts::{
        BuilderChoice, CommandSource, ExecFault, ExecFaultKind, ExitRecord, Facts, InstanceFacts, Termination,
    },
    refine,
    rules::exit,
    words,
};

pub(super) fn instance(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    if let Some(fault) = &instance.refused {
        return Some(refused(facts, instance, fault));
    }
    let exit = decisive_exit(facts, instance)?;
    if let Some(fault) = &exit.exec_fault {
        return Some(refused(facts, instance, fault));
    }
    match exit.termination {
        Some(Termination::Exited {
            code: code @ (126 | 127),
        }) if !instance.was_ready && exit_is_its_own(exit) => {
            Some(said_by_shell(facts, instance, exit, code))
        }
        _ => None,
    }
}

/// An end that the platform asked for is never the app's.
fn exit_is_its_own(exit: &ExitRecord) -> bool {
    crate::exit_codes::ending(exit).ended_by == crate::exit_codes::EndedBy::Itself
}

fn refused(facts: &Facts, instance: &InstanceFacts, fault: &ExecFault) -> Finding {
    let left_out = refine::of_command(facts, instance, fault);
    let (cause, wording, steps) = left_out.unwrap_or_else(|| {
        let steps = next_steps(facts, instance, fault);
        (cause(&fault.kind), wording(instance, fault), steps)
    });
    let message = format!("{} cannot start: {wording}.", words::component_at_start(facts));
    let blame = if matches!(fault.kind, ExecFaultKind::Other { .. }) {
        Blame::Platform
    } else {
        Blame::App
    };
    Finding::new(Code::ContainerCommandNotExecutable, cause, message)
        .evidence(Evidence::ExecFault(fault.clone()))
        .evidence_if(command(instance))
        .evidence_if(instance.builder.clone().map(BuilderChoice::into_evidence))
        .blame(blame)
        .retry(Retry::No)
        .next_all(steps)
}

/// A shell, loader or interpreter ended with 126 or 127 in its place.
fn said_by_shell(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord, code: i32) -> Finding {
    let refined = refine::not_executable(facts, instance);
    let plain = if code == 126 {
        Cause::NotExecutable
    } else {
        Cause::CommandNotFound
    };
    let cause = refined.as_ref().map_or(plain, |refined| refined.cause);
    let meaning = if code == 126 {
        "cannot be executed"
    } else {
        "was not found"
    };
    let wording = refined.as_ref().map_or_else(
        || {
            format!(
                "; a program that `{}` starts {meaning}",
                words::excerpt(&words::command(&instance.command.argv), 60)
            )
        },
        |refined| refined.wording.clone(),
    );
    let name = crate::exit_codes::exit_code(code).name;
    let message = format!(
        "{} cannot start: its command ended with exit code {code} ({name}){}{wording}.",
        words::component_at_start(facts),
        exit::after(exit),
    );
    let mut finding = Finding::new(Code::ContainerCommandNotExecutable, cause, message)
        .evidence(exit::evidence(instance, exit))
        .retry(Retry::No)
        .warn_all(memory::survived(exit));
    if let Some(refined) = refined {
        finding = finding
            .evidence_if(refined.hint.map(Evidence::LogHint))
            .next_all(refined.next_steps);
    }
    finding
        .evidence_if(command(instance))
        .evidence_if(instance.builder.clone().map(BuilderChoice::into_evidence))
        .evidence_if(variables(&instance.variables))
}

pub(super) fn cause(kind: &ExecFaultKind) -> Cause {
    match kind {
        ExecFaultKind::NoRunCommand { .. } => Cause::NoRunCommand,
        ExecFaultKind::NotFound => Cause::CommandNotFound,
        ExecFaultKind::NotExecutable { .. } => Cause::NotExecutable,
        ExecFaultKind::IsDirectory => Cause::IsDirectory,
        ExecFaultKind::InterpreterMissing { .. } => Cause::InterpreterMissing,
        ExecFaultKind::CarriageReturnInInterpreter { .. } => Cause::CrlfInScript,
        ExecFaultKind::WrongArchitecture { .. } => Cause::WrongArchitecture,
        ExecFaultKind::UnknownFormat { .. } => Cause::UnknownExecutableFormat,
        ExecFaultKind::WorkingDirectoryMissing { .. } => Cause::WorkingDirectoryMissing,
        ExecFaultKind::UserUnknown { .. } => Cause::UserUnknown,
        ExecFaultKind::Other { .. } => Cause::ExecFailed,
    }
}

/// What exactly is wrong, with the exit code that users know for it.
fn wording(instance: &InstanceFacts, fault: &ExecFault) -> String {
    let program = program(fault);
    let whole = words::excerpt(&words::command(&fault.argv), 60);
    match &fault.kind {
        ExecFaultKind::NoRunCommand { .. } if !programs(instance).is_empty() => {
            let programs = programs(instance).iter();
            let named: Vec<String> = programs
                .map(|(program, directory)| format!("`{program}` ({directory})"))
                .collect();
            format!(
                "there is no run command, and its build made several programs: {} (exit code 190)",
                words::list(&named, PROGRAMS_SHOWN_MAX)
            )
        }
        ExecFaultKind::NoRunCommand { looked_for } => {
            let looked = if looked_for.is_empty() {
                String::new()
            } else {
                format!(" (looked for {})", words::list(looked_for, 6))
            };
            format!("there is no run command, and the image declares no process{looked} (exit code 190)")
        }
        ExecFaultKind::NotFound => not_found(&program, fault),
        ExecFaultKind::NotExecutable { mode } => {
            let mode = mode.map_or(String::new(), |mode| format!(", mode {:04o}", mode & 0o7777));
            format!("`{program}` exists but has no execute permission{mode} (EACCES, exit code 126)")
        }
        ExecFaultKind::IsDirectory => {
            format!("`{program}` is a directory, not a program (EACCES, exit code 126)")
        }
        ExecFaultKind::InterpreterMissing { interpreter } => format!(
            "`{program}` exists, but its interpreter `{interpreter}` is not in the image (ENOENT, exit code 127)"
        ),
        ExecFaultKind::CarriageReturnInInterpreter { first_line } => format!(
            "`{program}` exists, but its first line `{}` ends with a carriage return (Windows line ending), so an interpreter of that \
             name was looked for (exit code 127)",
            first_line.trim_end().escape_debug()
        ),
        ExecFaultKind::WrongArchitecture { machine, node } => {
            format!("`{program}` is built for {machine}, and this node is {node} (ENOEXEC, exit code 126)")
        }
        ExecFaultKind::UnknownFormat { first_bytes } => format!(
            "`{program}` is neither a program nor a script with a `#!` line (it begins with {first_bytes}; ENOEXEC, exit code 126)"
        ),
        ExecFaultKind::WorkingDirectoryMissing { path } => {
            format!("its working directory `{path}` is not in the image (for `{whole}`)")
        }
        ExecFaultKind::UserUnknown { user } => {
            let of = instance
                .command
                .user
                .as_ref()
                .map_or("", |_| " that the image asks for");
            format!("the user `{user}`{of} is not in the image (for `{whole}`)")
        }
        ExecFaultKind::Other { message } => format!("executing `{whole}` failed: {message}"),
    }
}

const PROGRAMS_SHOWN_MAX: usize = 6;

/// Programs of which none is the one to start.
fn programs(instance: &InstanceFacts) -> &[(String, String)] {
    instance
        .builder
        .as_ref()
        .map_or(&[], |builder| builder.programs.as_slice())
}

fn choose_program(facts: &Facts, programs: &[(String, String)]) -> Vec<NextStep> {
    let Some((program, directory)) = programs.first() else {
        return Vec::new();
    };
    vec![
        NextStep::new("Say which of them is the app.")
            .with_spec(words::spec_lines(facts, &[&format!("run_command: {program}")])),
        NextStep::new(format!(
            "Or build that one alone: by a line `// +heroku install ./{directory}` in go.mod, or the build variable \
             GO_INSTALL_PACKAGE_SPEC with `./{directory}`."
        )),
    ]
}

fn not_found(program: &str, fault: &ExecFault) -> String {
    let place = match &fault.search_path {
        Some(path) if !program.contains('/') => format!("not found in the PATH ({path})"),
        _ => "not in the image".to_owned(),
    };
    let close = if fault.close_matches.is_empty() {
        String::new()
    } else {
        format!("; similar: {}", words::quoted_list(&fault.close_matches, 3))
    };
    format!("`{program}` is {place} (exit code 127){close}")
}

fn program(fault: &ExecFault) -> String {
    fault
        .resolved_path
        .clone()
        .or_else(|| fault.argv.first().cloned())
        .unwrap_or_else(|| "the command".to_owned())
}

fn next_steps(facts: &Facts, instance: &InstanceFacts, fault: &ExecFault) -> Vec<NextStep> {
    let program = program(fault);
    match &fault.kind {
        ExecFaultKind::NoRunCommand { .. } if !programs(instance).is_empty() => {
            choose_program(facts, programs(instance))
        }
        ExecFaultKind::NoRunCommand { .. } => vec![
            NextStep::new("Say how the app is started.").with_spec(words::spec_lines(
                facts,
                &["run_command: <the command that starts the app>"],
            )),
            NextStep::new(
                "Or declare a process: a `web:` line in a Procfile, a `start` script in package.json, `CMD` in a Dockerfile.",
            ),
        ],
        ExecFaultKind::NotFound => not_found_steps(facts, instance, fault, &program),
        ExecFaultKind::NotExecutable { .. } => vec![
            NextStep::new("Make it executable and commit the change.")
                .with_command(format!("git update-index --chmod=+x {}", relative(&program))),
        ],
        ExecFaultKind::CarriageReturnInInterpreter { .. } => vec![
            NextStep::new("Write the script with Unix line endings and commit it.")
                .with_command(format!("sed -i 's/\\r$//' {}", relative(&program))),
            NextStep::new("Keep it so: let git check scripts out with LF.")
                .with_command("echo '*.sh text eol=lf' >> .gitattributes"),
        ],
        ExecFaultKind::WrongArchitecture { node, .. } => vec![NextStep::new(format!(
            "Build the image or the program for {node}."
        ))],
        ExecFaultKind::InterpreterMissing { interpreter } => vec![NextStep::new(format!(
            "Install `{interpreter}` in the image, or change the first line to an interpreter that is there."
        ))],
        ExecFaultKind::Other { .. } => vec![NextStep::new(
            "Deploy again; if it happens again, look at the platform's own log.",
        )],
        _ => Vec::new(),
    }
}

fn not_found_steps(
    facts: &Facts,
    instance: &InstanceFacts,
    fault: &ExecFault,
    program: &str,
) -> Vec<NextStep> {
    let mut steps = Vec::new();
    if let Some(close) = fault.close_matches.first() {
        let mut argv = fault.argv.clone();
        if let Some(first) = argv.first_mut() {
            first.clone_from(close);
        }
        steps.push(
            NextStep::new(format!("If `{close}` is meant, say so.")).with_spec(words::spec_lines(
                facts,
                &[&format!("run_command: {}", words::command(&argv))],
            )),
        );
    }
    let place = match instance.command.source {
        Some(CommandSource::RunCommand) => "run_command names it",
        Some(CommandSource::Procfile) => "the Procfile names it",
        Some(CommandSource::Buildpack) => "the buildpack chose it",
        Some(CommandSource::Image) => "the image's ENTRYPOINT and CMD name it",
        None => "the command names it",
    };
    steps.push(NextStep::new(format!(
        "Add the package that brings `{program}` to the dependencies the build installs, or correct the command ({place})."
    )));
    steps
}

/// The path as it stands in the repository: without the directories that the platform puts in front.
fn relative(path: &str) -> &str {
    path.strip_prefix("/workspace/")
        .or_else(|| path.strip_prefix("/app/"))
        .unwrap_or(path)
}

//! `mainstay completion` and `mainstay man`: the command line describes itself.

use std::{fs, io, io::Write, path::Path, process::ExitCode};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::{
    args::{Arguments, Manual, Shell},
    error::CliError,
};

const NAME: &str = "mainstay";
const SOURCE: &str = concat!("mainstay ", env!("CARGO_PKG_VERSION"));

pub(super) fn completion(shell: Shell) -> Result<ExitCode, CliError> {
    print(&completions(shell))
}

pub(super) fn manual(wish: &Manual) -> Result<ExitCode, CliError> {
    if let Some(directory) = &wish.directory {
        write_pages(directory).map_err(CliError::io(format!("write into {}", directory.display())))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&page(command_of(&wish.words)?).map_err(CliError::io("make the page"))?)
}

fn completions(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
    text
}

/// The command that these words call, with the name of its page: `mainstay-apps-create`.
fn command_of(words: &[String]) -> Result<Command, CliError> {
    let mut command = built();
    for word in words {
        let found = command.find_subcommand(word).cloned();
        command = found.ok_or_else(|| {
            let called = [&[NAME.to_owned()], words].concat().join(" ");
            CliError::Usage(format!(
                "there is no command `{called}`; `mainstay help` has them all"
            ))
        })?;
    }
    Ok(command)
}

/// All commands with the options that each of them has.
fn built() -> Command {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).source(SOURCE).render(&mut page)?;
    Ok(page)
}

fn write_pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command(), directory)
}

/// A reader that went away (`| head`) wants no more.
fn print(text: &[u8]) -> Result<ExitCode, CliError> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::io("write")(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_arguments_are_what_clap_takes() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_shell_learns_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = text(completions(shell));
            for word in ["list-deployments", "job-invocation", "switch", "no-header"] {
                assert!(text.contains(word), "{shell:?}: {word}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let page = |of: &[&str]| text(page(command_of(&words(of)).unwrap()).unwrap());
        assert!(page(&[]).contains("mainstay\\-apps(1)"), "{}", page(&[]));
        let create = page(&["apps", "create"]);
        assert!(create.contains("mainstay\\-apps\\-create"), "{create}");
        assert!(
            create.contains("\\-\\-upsert") && create.contains("\\-\\-context"),
            "{create}"
        );
        assert_eq!(page(&["apps", "c"]), create, "by its alias");
        let nothing = command_of(&words(&["apps", "x"])).unwrap_err().to_string();
        assert!(nothing.contains("`mainstay apps x`"), "{nothing}");
    }

    #[test]
    fn pages_are_files_named_for_their_commands() {
        let directory = tempfile::tempdir().unwrap();
        write_pages(directory.path()).unwrap();
        for name in [
            "mainstay.1",
            "mainstay-login.1",
            "mainstay-apps-tier-instance-size-get.1",
        ] {
            assert!(directory.path().join(name).is_file(), "{name}");
        }
    }
}

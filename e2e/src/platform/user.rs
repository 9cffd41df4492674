//! Somebody with a home of his own, who types commands.

use std::{
    fs,
    io::{Seek, Write},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use super::{ANSWERS_WITHIN, Platform};
use crate::run::{Answer, run_reading};

/// What the environment may say of servers; none of it is the user's.
const VARIABLES: [&str; 5] = [
    "MAINSTAY_URL",
    "MAINSTAY_TOKEN",
    "MAINSTAY_TOKEN_FILE",
    "MAINSTAY_CONTEXT",
    "MAINSTAY_CA",
];

#[derive(Debug)]
pub struct User {
    program: PathBuf,
    home: TempDir,
}

impl Platform {
    /// Knows no server yet.
    pub fn user(&self) -> User {
        User {
            program: self.programs.path("mainstay"),
            home: tempfile::tempdir().expect("the temporary directory is writable"),
        }
    }
}

impl User {
    /// Where his `mainstay` keeps what it knows.
    pub fn contexts_file(&self) -> PathBuf {
        self.home.path().join("mainstay/config.yaml")
    }

    pub fn types(&self, arguments: &[&str]) -> Answer {
        self.types_with(arguments, "", &[])
    }

    /// With this on standard input, and these variables.
    pub fn types_with(&self, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Answer {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("XDG_CONFIG_HOME", self.home.path());
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        let mut file = tempfile::tempfile().expect("the temporary directory is writable");
        file.write_all(input.as_bytes()).expect("our own file");
        file.rewind().expect("our own file");
        run_reading(&mut command, file.into(), ANSWERS_WITHIN)
    }

    /// What is written into the file of contexts by hand.
    pub fn writes_contexts(&self, text: &str) {
        fs::write(self.contexts_file(), text).expect("it is there");
    }
}

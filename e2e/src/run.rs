//! Running a program to its end, within a deadline.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `None`: ended by a signal, or by us when its time was over.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        self.status == Some(0)
    }

    /// Fails the test with everything that was said, unless the program ended with 0.
    #[must_use]
    pub fn expect_success(self, what: &str) -> Self {
        assert!(
            self.is_success(),
            "{what} ended with {:?}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}\n{}", self.stdout, self.stderr))
    }
}

/// Runs to the end; a program that takes longer is killed.
pub fn run(command: &mut Command, within: Duration) -> Answer {
    run_reading(command, Stdio::null(), within)
}

/// The same with something to read on its standard input.
pub(crate) fn run_reading(command: &mut Command, input: Stdio, within: Duration) -> Answer {
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = end(&mut child, within);
    let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
    Answer {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// The exit code, if the child ended by itself in time.
fn end(child: &mut Child, within: Duration) -> Option<i32> {
    let ended = ends(child, within);
    if !ended {
        // It may have ended in between.
        drop(child.kill());
    }
    let status = child.wait().ok()?;
    if ended { status.code() } else { None }
}

/// Waits for the end itself and not for the next look: benchmarks measure how long a program takes.
fn ends(child: &Child, within: Duration) -> bool {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("our own child");
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("minutes fit");
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}

/// Pipes are emptied all the time: a full one would stop the program.
fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

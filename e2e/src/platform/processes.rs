//! The processes of a platform, and what becomes of it without them.

use std::{fs, process::Child, sync::atomic::Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::{Platform, leftovers, programs::Away};

impl Platform {
    /// The server's process.
    pub(crate) fn server_process(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// All processes of the platform and its apps, with their arguments.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let processes = leftovers::processes(&self.setup).into_iter();
        processes
            .map(|(pid, command)| (pid.as_raw_nonzero().get().unsigned_abs(), command))
            .collect()
    }

    /// A program of the platform is gone until the value is dropped.
    pub(crate) fn take_program_away(&self, name: &str) -> Away {
        self.broken.store(true, Ordering::Relaxed);
        self.programs.take_away(name)
    }

    /// `kill -9` to every process of the apps whose command line begins so.
    pub fn kill_apps(&self, command: &str) {
        self.signal_apps(command, Signal::KILL);
    }

    /// The same processes stop to do anything, until they are to go on.
    pub fn pause_apps(&self, command: &str) {
        self.signal_apps(command, Signal::STOP);
    }

    pub fn resume_apps(&self, command: &str) {
        self.signal_apps(command, Signal::CONT);
    }

    fn signal_apps(&self, command: &str, signal: Signal) {
        let of_app = |(_, line): &(u32, String)| line.starts_with(command);
        for (pid, _) in self.processes().into_iter().filter(of_app) {
            let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// `kill -9` to the shims of the apps' processes whose command line begins so.
    pub fn kill_shims_of(&self, command: &str) {
        let processes = self.processes();
        let shims: Vec<u32> = processes
            .iter()
            .filter(|(_, line)| line.starts_with(command))
            .filter_map(|(pid, _)| shim_above(*pid, &processes))
            .collect();
        assert!(
            !shims.is_empty(),
            "no shim has a process {command}: {processes:?}"
        );
        for pid in shims {
            let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
            // The same shim may have several of these processes.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// The value of a variable in the environment of a process of the apps whose command line holds these words.
    pub fn variable_of(&self, words: &str, name: &str) -> Option<String> {
        let (pid, _) = self
            .processes()
            .into_iter()
            .find(|(_, line)| line.contains(words))?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let prefix = format!("{name}=");
        let value = environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix(&prefix));
        value.map(str::to_owned)
    }

    /// Command lines of the platform and its apps that hold these words.
    pub fn commands_with(&self, words: &str) -> Vec<String> {
        let commands = self.processes().into_iter().map(|(_, command)| command);
        commands.filter(|command| command.contains(words)).collect()
    }
}

/// The nearest shim among the processes that the process comes from.
fn shim_above(mut pid: u32, processes: &[(u32, String)]) -> Option<u32> {
    loop {
        let (_, line) = processes.iter().find(|(known, _)| *known == pid)?;
        if line.split(' ').next()?.ends_with("mainstay-shim") {
            return Some(pid);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        pid = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))?
            .trim()
            .parse()
            .ok()?;
    }
}

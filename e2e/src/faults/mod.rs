//! Ways to break an app, each with what the platform must say about it. One table for the tests and for `./x faults`.

mod check;
mod flask;

use mainstay_diagnosis::{Cause, Code};
use serde_json::json;

pub use self::{
    check::{Outcome, check},
    flask::healthy,
};
use crate::Folder;

/// One way to break the Flask app.
#[derive(Debug)]
pub struct Fault {
    pub name: &'static str,
    pub code: Code,
    pub cause: Cause,
    /// What the card shows as evidence.
    pub shown: &'static [&'static str],
    /// What can be read afterwards: the kind of log, and words of it.
    pub log: (&'static str, &'static str),
    break_it: fn(&mut Folder),
}

impl Fault {
    /// The app with this fault.
    pub fn folder(&self, app: &str) -> Folder {
        let mut folder = healthy(app, "broken");
        (self.break_it)(&mut folder);
        folder
    }
}

/// All of them, in the order in which users meet them.
pub static FAULTS: &[Fault] = &[
    Fault {
        name: "wrong-http-port",
        code: Code::ContainerHealthChecksFailed,
        cause: Cause::ListensOnOtherPort,
        shown: &["9090", "8080"],
        log: ("run", "Listening at"),
        break_it: |folder| folder.set("http_port", 9090),
    },
    Fault {
        name: "bound-to-loopback",
        code: Code::ContainerHealthChecksFailed,
        cause: Cause::BoundToLoopback,
        shown: &["127.0.0.1", "8080"],
        log: ("run", "Listening at"),
        break_it: |folder| folder.set("run_command", "gunicorn --bind 127.0.0.1:8080 app:app"),
    },
    Fault {
        name: "command-missing",
        code: Code::ContainerCommandNotExecutable,
        cause: Cause::CommandNotFound,
        shown: &["gunicron"],
        log: ("deploy", "gunicron"),
        break_it: |folder| folder.set("run_command", "gunicron --bind 0.0.0.0:8080 app:app"),
    },
    Fault {
        name: "script-not-executable",
        code: Code::ContainerCommandNotExecutable,
        cause: Cause::NotExecutable,
        shown: &["start.sh"],
        log: ("deploy", "start.sh"),
        break_it: |folder| {
            folder.write(
                "start.sh",
                "#!/bin/sh\nexec gunicorn --bind 0.0.0.0:8080 app:app\n",
            );
            folder.set("run_command", "./start.sh");
        },
    },
    Fault {
        name: "exit-3",
        code: Code::ContainerExitNonZero,
        cause: Cause::ExitedWithError,
        shown: &["3"],
        log: ("run", "going away"),
        break_it: |folder| {
            folder.write(
                "leave.py",
                "import sys\nprint('going away', flush=True)\nsys.exit(3)\n",
            );
            folder.set("run_command", "python3 leave.py");
        },
    },
    Fault {
        name: "exit-0",
        code: Code::ContainerExitNonZero,
        cause: Cause::ExitedNormally,
        shown: &["0"],
        log: ("run", "all done"),
        break_it: |folder| {
            folder.write("leave.py", "print('all done', flush=True)\n");
            folder.set("run_command", "python3 leave.py");
        },
    },
    Fault {
        name: "memory",
        code: Code::ContainerOutOfMemory,
        cause: Cause::MemoryLimit,
        shown: &["512"],
        log: ("run", "MiB taken"),
        break_it: |folder| {
            folder.write("hungry.py", flask::HUNGRY);
            folder.set("run_command", "python3 hungry.py");
        },
    },
    Fault {
        name: "health-path-404",
        code: Code::ContainerHealthChecksFailed,
        cause: Cause::HealthPathNotFound,
        shown: &["/no-such-page", "404"],
        log: ("run", "Listening at"),
        break_it: |folder| {
            let probe = json!({
                "http_path": "/no-such-page", "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 5,
            });
            folder.set("health_check", probe);
        },
    },
    Fault {
        name: "requirements-syntax",
        code: Code::BuildJobExitNonZero,
        cause: Cause::ManifestInvalid,
        shown: &["requirements.txt"],
        log: ("build", "requirements.txt"),
        break_it: |folder| folder.write("requirements.txt", "Flask=3.0\ngunicorn\n"),
    },
    Fault {
        name: "build-command-exit-7",
        code: Code::BuildJobExitNonZero,
        cause: Cause::StepFailed,
        shown: &["7"],
        log: ("build", "about to fail"),
        break_it: |folder| folder.set("build_command", "echo about to fail; exit 7"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_breaks_something_and_has_a_name_of_its_own() {
        let healthy = healthy("shop", "broken");
        let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        for fault in FAULTS {
            assert_ne!(
                format!("{:?}", fault.folder("shop")),
                format!("{healthy:?}"),
                "{}",
                fault.name
            );
        }
    }
}

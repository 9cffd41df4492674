//! The life of PID 1: start the app, forward signals, reap, report, end.

use mainstay_init::Report;

use crate::{
    command::Command,
    signals,
    system::{self, Fork},
};

/// How a start can fail before the app runs, as told through the pipe between the two halves of the fork.
const STAGE_DIRECTORY: u8 = 1;
const STAGE_EXEC: u8 = 2;

/// Runs the command to its end; the exit code of init itself.
pub(crate) fn run(command: &Command, stop_signal: i32) -> i32 {
    system::protect_report_pipe();
    signals::block_all();
    match start(command) {
        Ok(main) => {
            system::report(Report::Started { pid: main });
            supervise(main, stop_signal)
        }
        Err(refusal) => {
            system::report(refusal);
            refusal_code(refusal)
        }
    }
}

/// Replaces init by the command; returns only when that was refused.
pub(crate) fn exec(command: &Command) -> i32 {
    system::protect_report_pipe();
    system::new_session();
    signals::restore_defaults();
    let refusal = match command.enter_directory() {
        Ok(()) => Report::ExecFailed {
            errno: command.execute(),
        },
        Err(errno) => Report::WorkingDirectoryFailed { errno },
    };
    system::report(refusal);
    refusal_code(refusal)
}

/// Forks and executes. The pipe between both halves closes on exec, so its end without a word is the proof of success.
fn start(command: &Command) -> Result<i32, Report> {
    let fork_failed = |error: std::io::Error| Report::ForkFailed {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    };
    let (read_end, write_end) = system::pipe().map_err(fork_failed)?;
    match system::fork().map_err(fork_failed)? {
        Fork::Child => {
            system::new_session();
            signals::restore_defaults();
            let (stage, errno) = match command.enter_directory() {
                Ok(()) => (STAGE_EXEC, command.execute()),
                Err(errno) => (STAGE_DIRECTORY, errno),
            };
            let [e0, e1, e2, e3] = errno.to_le_bytes();
            system::write(write_end, &[stage, e0, e1, e2, e3]);
            system::exit_now(127);
        }
        Fork::Parent { child } => {
            system::close(write_end);
            let mut answer = [0; 5];
            let count = system::read(read_end, &mut answer);
            system::close(read_end);
            if count < answer.len() {
                return Ok(child);
            }
            // The half that failed is ours to reap; its status says nothing that the answer did not.
            let _ = system::reap(child, true);
            let errno = i32::from_le_bytes([answer[1], answer[2], answer[3], answer[4]]);
            Err(match answer[0] {
                STAGE_DIRECTORY => Report::WorkingDirectoryFailed { errno },
                _ => Report::ExecFailed { errno },
            })
        }
    }
}

/// Forwards and reaps until the app has ended. If it ended because it was asked to, the processes that it left behind (a shell's
/// children, say) are asked too and waited for; the shim's grace period bounds that. Otherwise they end with init, by the kernel.
fn supervise(main: i32, stop_signal: i32) -> i32 {
    let mut asked_to_stop = false;
    let mut code = None;
    loop {
        let signal = signals::wait();
        if signal != libc::SIGCHLD {
            asked_to_stop |= signal == stop_signal;
            system::kill(if code.is_none() { main } else { -1 }, signal);
            continue;
        }
        loop {
            match system::reap(-1, false) {
                Ok(Some((pid, wait_status))) if pid == main => {
                    system::report(Report::Exited { wait_status });
                    code = Some(shell_code(wait_status));
                    if !asked_to_stop {
                        return shell_code(wait_status);
                    }
                    system::kill(-1, stop_signal);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return code.unwrap_or(0),
            }
        }
    }
}

/// The number a shell would show for a raw wait status.
fn shell_code(wait_status: i32) -> i32 {
    if libc::WIFSIGNALED(wait_status) {
        128 + libc::WTERMSIG(wait_status)
    } else {
        libc::WEXITSTATUS(wait_status)
    }
}

/// As shells do: 127 for what is not there, 126 for what is there and cannot be executed.
fn refusal_code(refusal: Report) -> i32 {
    match refusal {
        Report::ExecFailed { errno: libc::ENOENT } => 127,
        _ => 126,
    }
}

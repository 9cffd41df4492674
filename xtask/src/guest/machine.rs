//! The virtual machine: its console is shown, and its last words say whether the tests passed.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::kernel::Kernel;

/// The guest's last line, before the exit status of the tests.
const VERDICT: &str = "guest: the tests ended with ";

/// An emulated processor is some twenty times slower than a real one.
const DEADLINE: Duration = Duration::from_mins(40);

/// Set it where the machine has a KVM that boots Debian's kernel: the tests take seconds then, not minutes.
const KVM: &str = "MAINSTAY_GUEST_KVM";

/// Ends the machine when it is dropped.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(kernel: &Kernel, first_root: &Path, disk: &Path) -> Result<(), String> {
    println!("› run the tests on Linux {} with cgroup v2", kernel.release);
    let started = Instant::now();
    let mut child = qemu(kernel, first_root, disk)
        .spawn()
        .map_err(|error| format!("could not run qemu: {error}"))?;
    let console = child.stdout.take().expect("its output is a pipe");
    let guest = Guest(child);
    let verdict = follow(BufReader::new(console), started);
    drop(guest);
    match verdict?.as_deref() {
        Some("0") => {
            println!(
                "✔ the tests passed in the guest ({:.0} s)",
                started.elapsed().as_secs_f64()
            );
            Ok(())
        }
        Some(status) => Err(format!("the tests failed in the guest with {status}")),
        None => Err("the guest ended before its tests did".into()),
    }
}

fn qemu(kernel: &Kernel, first_root: &Path, disk: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .args(["-smp", "2", "-m", "1536"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(first_root)
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .arg("-drive")
        .arg(format!(
            "file={},if=virtio,format=raw,cache=unsafe",
            disk.display()
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if std::env::var_os(KVM).is_some() {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    command
}

/// Prints the console to its end; the verdict in it. A reader of its own, so that a silent guest has a deadline too.
fn follow(console: impl BufRead + Send + 'static, started: Instant) -> Result<Option<String>, String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut console = console.split(b'\n');
        while let Some(Ok(line)) = console.next() {
            if sender
                .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                .is_err()
            {
                break;
            }
        }
    });
    let mut verdict = None;
    loop {
        let left = DEADLINE
            .checked_sub(started.elapsed())
            .ok_or_else(|| format!("the guest ran for more than {DEADLINE:?} and was ended"))?;
        match lines.recv_timeout(left) {
            Ok(line) => {
                println!("  {line}");
                if let Some((_, status)) = line.split_once(VERDICT) {
                    verdict = Some(status.to_owned());
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(verdict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_guest_s_last_word() {
        let console = &b"test a ... ok\r\nguest: the tests ended with 101\r\n"[..];
        assert_eq!(follow(console, Instant::now()), Ok(Some("101".to_owned())));
        assert_eq!(follow(&b"Kernel panic\r\n"[..], Instant::now()), Ok(None));
    }
}

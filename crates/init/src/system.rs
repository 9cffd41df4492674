//! The few system calls that init needs, each behind a safe function.

use std::io;

use mainstay_init::{REPORT_FD, Report};

/// What became of `fork`.
pub(crate) enum Fork {
    Parent { child: i32 },
    Child,
}

pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: init has one thread, so the child may go on using everything that it copied.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent { child }),
    }
}

/// A pipe whose both ends close on exec: (read end, write end).
pub(crate) fn pipe() -> io::Result<(i32, i32)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    match unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } {
        0 => Ok((ends[0], ends[1])),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn close(fd: i32) {
    // SAFETY: the callers own the descriptor and do not use it again.
    unsafe { libc::close(fd) };
}

/// Writes all or nothing that matters: the pipes of init are read by the shim or by init itself, and a broken one tells nobody.
pub(crate) fn write(fd: i32, bytes: &[u8]) {
    // SAFETY: the pointer and length are those of a live slice.
    while unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } == -1 && errno() == libc::EINTR {}
}

/// Reads until the buffer is full or the other side closed; the number of bytes.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the pointer and length are those of a live, writable slice.
        let count = unsafe { libc::read(fd, rest.as_mut_ptr().cast(), rest.len()) };
        match usize::try_from(count) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => break,
        }
    }
    filled
}

pub(crate) fn report(report: Report) {
    write(REPORT_FD, &report.to_bytes());
}

/// Keeps the report pipe and this process out of the app's reach: the descriptor closes on exec, and a process that cannot be
/// dumped cannot be traced nor its descriptors opened through /proc by the app, which may run as the same user.
pub(crate) fn protect_report_pipe() {
    // SAFETY: plain flag changes; without the descriptor (run by hand) they fail and nothing is lost.
    unsafe {
        libc::fcntl(REPORT_FD, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/// A session and process group of its own. Fails where the process leads one already, which is as good.
pub(crate) fn new_session() {
    // SAFETY: no memory is involved.
    unsafe { libc::setsid() };
}

/// One ended child: (process id, raw wait status), or `None` when none has ended; an error when no child is left.
pub(crate) fn reap(wait_for: i32, block: bool) -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    let options = if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` outlives the call.
        match unsafe { libc::waitpid(wait_for, &raw mut status, options) } {
            -1 if errno() == libc::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            0 => return Ok(None),
            pid => return Ok(Some((pid, status))),
        }
    }
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory is involved; a process that is gone already is no fault.
    unsafe { libc::kill(pid, signal) };
}

/// Ends without running destructors or flushing anything: there is nothing to flush.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

pub(crate) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

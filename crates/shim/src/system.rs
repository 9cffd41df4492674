//! System calls that no crate wraps safely, each behind a safe function.

#![expect(
    unsafe_code,
    reason = "fork, signalfd, mount_setattr, loop devices and packet filters have no safe wrapper"
)]

use std::{
    ffi::CStr,
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    thread::{self, JoinHandle},
};

/// What became of [`fork`].
pub(crate) enum Fork {
    Parent { child: i32 },
    Child,
}

/// Copies this process. The shim never has a second thread, so the copy may go on using everything.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: there is one thread; no lock can be held by another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent { child }),
    }
}

/// Ends without running destructors: for a forked half that owns nothing.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Drops whatever the server leaked to us beyond standard input, output and error.
pub(crate) fn close_inherited_descriptors() {
    // SAFETY: called first thing in main, before this process has opened anything of its own.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Blocks every signal that can be blocked, and returns a descriptor that becomes readable when one of `watched` arrives.
/// The others are so ignored: the shim ends with its instance, not because somebody's terminal closed.
pub(crate) fn take_signals(watched: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: both sets are initialised by sigfillset and sigemptyset before they are read.
    unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in watched {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) == -1 {
            return Err(io::Error::last_os_error());
        }
        owned(libc::signalfd(
            -1,
            set.as_ptr(),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))
    }
}

/// Starts a thread that no signal of the process is delivered to. Any other one may get what [`take_signals`] watches, as long as it lives:
/// SIGCHLD is ignored then, and a child that ended is never heard of.
pub(crate) fn spawn_deaf<T: Send + 'static>(
    thread: thread::Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: `all` is initialised by sigfillset before it is read, and `before` is written by pthread_sigmask.
    unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    }
    // It begins with what is blocked here.
    let spawned = thread.spawn(work);
    // SAFETY: `before` was initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    spawned
}

/// One ended child: (process id, raw wait status); `None` when none has ended.
pub(crate) fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Waits for one child and takes its raw wait status.
pub(crate) fn reap_child(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            _ => return Ok(status),
        }
    }
}

pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn unshare_user_namespace() -> io::Result<()> {
    // SAFETY: called in a forked child that shares nothing with anybody.
    match unsafe { libc::unshare(libc::CLONE_NEWUSER) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn unshare_mount_namespace() -> io::Result<()> {
    // SAFETY: there is one thread, and no descriptor or path of it depends on the namespace it leaves.
    match unsafe { libc::unshare(libc::CLONE_NEWNS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Attributes of a detached mount, see mount_setattr(2).
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    attributes: u64,
    user_namespace: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut request = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    if let Some(namespace) = user_namespace {
        request.attr_set |= libc::MOUNT_ATTR_IDMAP;
        request.userns_fd = u64::try_from(namespace.as_raw_fd()).expect("a descriptor is not negative");
    }
    // SAFETY: the path is an empty C string, the request outlives the call and its size is passed.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const request,
            size_of::<libc::mount_attr>(),
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives a command the descriptor as its number 3.
pub(crate) fn pass_as_report_pipe(command: &mut Command, descriptor: OwnedFd) {
    let prepare = move || {
        // SAFETY: dup2 and fcntl are async-signal-safe; the descriptor lives as long as this closure.
        unsafe {
            let raw = descriptor.as_raw_fd();
            if raw == mainstay_init::REPORT_FD {
                // dup2 onto itself would keep the close-on-exec flag.
                libc::fcntl(raw, libc::F_SETFD, 0);
            } else if libc::dup2(raw, mainstay_init::REPORT_FD) == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// From linux/loop.h.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// The number of a loop device that nobody uses at this moment.
pub(crate) fn free_loop_device(control: &File) -> io::Result<i32> {
    // SAFETY: the request takes no argument.
    match unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) } {
        -1 => Err(io::Error::last_os_error()),
        number => Ok(number),
    }
}

/// Puts a file behind a loop device, until the last user of the device (a mount) is gone.
pub(crate) fn attach_to_loop_device(device: &File, image: &File) -> io::Result<()> {
    // SAFETY: all fields are integers or arrays of them, for which zero is valid.
    let mut config: LoopConfig = unsafe { MaybeUninit::zeroed().assume_init() };
    config.fd = u32::try_from(image.as_raw_fd()).expect("a descriptor is not negative");
    config.info.flags = LO_FLAGS_AUTOCLEAR;
    // SAFETY: the configuration outlives the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// One step of a packet filter (`struct sock_filter` of `linux/filter.h`).
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct FilterStep(libc::sock_filter);

impl FilterStep {
    pub(crate) const fn new(code: u16, jump_true: u8, jump_false: u8, constant: u32) -> Self {
        Self(libc::sock_filter {
            code,
            jt: jump_true,
            jf: jump_false,
            k: constant,
        })
    }
}

/// From now on the socket gets only what the filter lets through (socket(7), `SO_ATTACH_FILTER`).
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, steps: &[FilterStep]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(io::Error::other)?,
        filter: steps.as_ptr().cast_mut().cast(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: `FilterStep` is a `sock_filter`; the kernel copies the program and writes nothing.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives freed heap back to the kernel: what the start needed is not needed for waiting.
pub(crate) fn trim_heap() {
    // SAFETY: glibc's malloc_trim only touches its own free lists.
    unsafe { libc::malloc_trim(0) };
}

/// Mounts a file system; the options are the file system's own.
pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    options: &CStr,
) -> io::Result<()> {
    // SAFETY: all strings are NUL-terminated and outlive the call.
    let outcome = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
/// `raw` is the result of a call that returns a new descriptor, or -1 with errno set.
unsafe fn owned(raw: RawFd) -> io::Result<OwnedFd> {
    if raw == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the calling thread, as the kernel shows it.
    fn blocks(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))
            .unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
    }

    #[test]
    fn a_deaf_thread_leaves_signals_to_whoever_started_it() {
        let deaf = spawn_deaf(thread::Builder::new(), || blocks(libc::SIGCHLD)).unwrap();
        assert!(deaf.join().unwrap());
        assert!(!blocks(libc::SIGCHLD), "it is deaf itself now");
    }
}

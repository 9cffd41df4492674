//! Signals: init takes all of them by waiting, the app starts with none blocked and none ignored.

use std::{ffi::CStr, mem::MaybeUninit, ptr};

/// The number given by the shim; SIGTERM where it is no number.
pub(crate) fn parse(text: &CStr) -> i32 {
    text.to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(libc::SIGTERM)
}

/// Blocks every signal, so that they queue up for [`wait`].
pub(crate) fn block_all() {
    change_mask(libc::SIG_SETMASK, &full());
}

/// What a freshly executed program may expect: nothing blocked, every signal at its default. The runtime of this program
/// ignores SIGPIPE, and whoever started us may have ignored others.
pub(crate) fn restore_defaults() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid handler; the numbers that may not be changed are refused by the kernel.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    change_mask(libc::SIG_SETMASK, &empty());
}

/// Waits for the next signal.
pub(crate) fn wait() -> i32 {
    let set = full();
    loop {
        // SAFETY: the set is initialised; no information about the signal is asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}

fn full() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn change_mask(how: i32, set: &libc::sigset_t) {
    // SAFETY: the set is initialised; the old mask is not asked for.
    unsafe { libc::sigprocmask(how, set, ptr::null_mut()) };
}

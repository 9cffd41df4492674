//! The command: entering its working directory and executing it, with the search through PATH that `execvp(3)` does, but
//! without its fallback to a shell.

use std::{
    env,
    ffi::{CStr, CString, OsString},
    os::unix::ffi::OsStringExt,
    ptr,
};

use crate::system::errno;

/// Searched where the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) struct Command {
    directory: CString,
    argv: Vec<CString>,
    search_path: Vec<u8>,
}

impl Command {
    pub(crate) fn new(directory: &CStr, argv: &[CString]) -> Self {
        Self {
            directory: directory.to_owned(),
            argv: argv.to_vec(),
            search_path: env::var_os("PATH")
                .unwrap_or_else(|| OsString::from(DEFAULT_PATH))
                .into_vec(),
        }
    }

    pub(crate) fn enter_directory(&self) -> Result<(), i32> {
        // SAFETY: the path is NUL-terminated and outlives the call.
        match unsafe { libc::chdir(self.directory.as_ptr()) } {
            0 => Ok(()),
            _ => Err(errno()),
        }
    }

    /// Replaces this process by the command; returns the errno of the refusal.
    pub(crate) fn execute(&self) -> i32 {
        let mut argv: Vec<*const libc::c_char> = self.argv.iter().map(|argument| argument.as_ptr()).collect();
        argv.push(ptr::null());
        let mut refusal = libc::ENOENT;
        for path in candidates(&self.argv[0], &self.search_path) {
            // SAFETY: the path and every argument are NUL-terminated, the list ends in a null pointer, and all outlive the call.
            unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                // A later directory may have one that may be executed; if none has, this is the reason to give.
                libc::EACCES => refusal = libc::EACCES,
                other => return other,
            }
        }
        refusal
    }
}

/// The paths to try, in order. A name with a slash is a path; an empty entry of PATH is the working directory.
fn candidates(name: &CStr, search_path: &[u8]) -> Vec<CString> {
    if name.to_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    if name.is_empty() {
        return Vec::new();
    }
    search_path
        .split(|byte| *byte == b':')
        .filter_map(|directory| {
            let directory = if directory.is_empty() {
                b".".as_slice()
            } else {
                directory
            };
            CString::new([directory, b"/", name.to_bytes()].concat()).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &CStr, search_path: &str) -> Vec<String> {
        candidates(name, search_path.as_bytes())
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_plain_name_is_looked_up_in_every_directory_of_path() {
        assert_eq!(
            tried(c"node", "/usr/bin::/bin"),
            ["/usr/bin/node", "./node", "/bin/node"]
        );
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        assert_eq!(tried(c"./serve", "/bin"), ["./serve"]);
    }

    #[test]
    fn an_empty_name_is_nowhere() {
        assert!(tried(c"", "/bin").is_empty());
    }
}

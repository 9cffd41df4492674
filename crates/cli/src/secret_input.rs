//! Asking for what nobody else should see.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The first line of standard input. On a terminal it is asked for, and not shown as it is typed.
pub(crate) fn read_line(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        eprint!("{question}: ");
        io::stderr().flush()?;
        let hidden = Hidden::begin()?;
        let read = stdin.lock().read_line(&mut line);
        drop(hidden);
        eprintln!();
        read?;
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(line.trim().to_owned())
}

/// The terminal shows nothing of what is typed; dropped, it is as before.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody left to tell when the terminal is gone.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}

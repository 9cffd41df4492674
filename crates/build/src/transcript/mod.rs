//! The build's log: sections of ours around the tools' own lines; secrets masked, size bounded.
//!
//! ```text
//! ╭──── source
//! │ › fetching https://… (branch main)
//! │ ✔ checked out 3f2a…
//! ╰──── 0.1 s
//! ```

mod bounded;
mod mask;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mainstay_shim::log::LogSource;

use self::bounded::{Bounded, Passed};
pub(crate) use self::mask::Mask;
use crate::BuildLog;

/// Writes one build's log. Clones write to the same one.
#[derive(Clone)]
pub(crate) struct Transcript {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn BuildLog>,
    mask: Mask,
    bounded: Mutex<Bounded>,
    section: Mutex<Option<Instant>>,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

impl Transcript {
    pub(crate) fn new(log: Arc<dyn BuildLog>, mask: Mask) -> Self {
        Self {
            inner: Arc::new(Inner {
                log,
                mask,
                bounded: Mutex::default(),
                section: Mutex::default(),
            }),
        }
    }

    /// Begins a section; ends the one before.
    pub(crate) fn section(&self, title: &str) {
        self.end_section();
        *self.open() = Some(Instant::now());
        self.own(&format!("╭──── {title}"));
    }

    pub(crate) fn end_section(&self) {
        let began = self.open().take();
        if let Some(began) = began {
            self.own(&format!("╰──── {}", seconds(began.elapsed())));
        }
    }

    /// What is being done.
    pub(crate) fn step(&self, text: &str) {
        self.inside("›", text);
    }

    /// A fact about it.
    pub(crate) fn detail(&self, text: &str) {
        self.inside(" ", text);
    }

    pub(crate) fn done(&self, text: &str) {
        self.inside("✔", text);
    }

    pub(crate) fn failed(&self, text: &str) {
        self.inside("✘", text);
    }

    /// A line of a tool.
    pub(crate) fn tool(&self, source: LogSource, text: &str) {
        let text = self.inner.mask.apply(text);
        let passed = self.bounded().pass(source, &text);
        match passed {
            Passed::Through => self.inner.log.line(source, &text),
            Passed::Kept => {}
            Passed::LimitReached => self.own("the output is long: from here on only its last lines are kept"),
        }
    }

    /// A text without secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.inner.mask.apply(text)
    }

    /// Shows the last lines of an output that was too long. Call it when the build has ended.
    pub(crate) fn finish(&self) {
        let tail = self.bounded().take_tail();
        if tail.left_out > 0 {
            self.own(&format!("… {} lines were left out …", tail.left_out));
        }
        for (source, text) in tail.lines {
            self.inner.log.line(source, &text);
        }
        self.end_section();
    }

    /// The log as a sink for another builder: what it writes is masked and bounded like a tool's lines.
    pub(crate) fn as_log(&self) -> Arc<dyn BuildLog> {
        Arc::new(Sink(self.clone()))
    }

    fn inside(&self, mark: &str, text: &str) {
        let frame = if self.open().is_some() { "│ " } else { "" };
        for line in text.lines() {
            self.own(&format!("{frame}{mark} {line}"));
        }
    }

    fn own(&self, text: &str) {
        self.inner
            .log
            .line(LogSource::Platform, &self.inner.mask.apply(text));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.inner.section.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bounded(&self) -> std::sync::MutexGuard<'_, Bounded> {
        self.inner.bounded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Sink(Transcript);

impl BuildLog for Sink {
    fn line(&self, source: LogSource, text: &str) {
        self.0.tool(source, text);
    }
}

/// "0.1 s", "12.3 s", "2 min 5 s".
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<String>>);

    impl BuildLog for Lines {
        fn line(&self, source: LogSource, text: &str) {
            self.0.lock().unwrap().push(format!("{source:?} {text}"));
        }
    }

    #[test]
    fn secrets_are_masked_in_every_line() {
        let lines = Arc::new(Lines::default());
        let transcript = Transcript::new(lines.clone(), Mask::new(["hunter22".to_owned()]));
        transcript.tool(LogSource::Stdout, "token=hunter22");
        transcript.step("using hunter22");
        assert_eq!(
            *lines.0.lock().unwrap(),
            ["Stdout token=***", "Platform › using ***"]
        );
    }

    #[test]
    fn a_long_output_keeps_its_beginning_and_its_end() {
        let lines = Arc::new(Lines::default());
        let transcript = Transcript::new(lines.clone(), Mask::default());
        let text = "x".repeat(100_000);
        for _ in 0..1000 {
            transcript.tool(LogSource::Stdout, &text);
        }
        transcript.tool(LogSource::Stderr, "the last line");
        transcript.finish();
        let lines = lines.0.lock().unwrap();
        assert!(lines.iter().map(String::len).sum::<usize>() < 23_000_000);
        assert_eq!(lines.last().unwrap(), "Stderr the last line");
        assert!(lines.iter().any(|line| line.contains("lines were left out")));
    }
}

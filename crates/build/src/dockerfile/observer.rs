//! What one build shows while it runs: our headings and its output to the log, memory kills to the step that ran.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{MemoryKill, ToolFinding};
use mainstay_shim::log::LogSource;

use super::{
    kernel_log::Victim,
    progress::{LineKind, Progress},
    supervise::Observer,
};
use crate::{
    api::BuildLog,
    findings::{FindingContext, Findings},
};

/// Watches `buildah build`.
pub(crate) struct BuildObserver<'a> {
    pub progress: Progress<'a>,
    log: Arc<dyn BuildLog>,
    limit_bytes: u64,
    /// Kills while no instruction was carried out: pulling, committing.
    pub kills_between: Vec<MemoryKill>,
    /// Refused processes of the steps before, where the kernel counts them all together.
    refused_before: u64,
    refused_until_now: u64,
    /// What all steps can be held against.
    context: FindingContext,
    /// Reads the output of the step that runs.
    findings: Option<Findings>,
}

impl fmt::Debug for BuildObserver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildObserver").finish_non_exhaustive()
    }
}

impl<'a> BuildObserver<'a> {
    pub(crate) fn new(
        progress: Progress<'a>,
        log: Arc<dyn BuildLog>,
        limit_bytes: u64,
        context: FindingContext,
    ) -> Self {
        Self {
            progress,
            log,
            limit_bytes,
            kills_between: Vec::new(),
            refused_before: 0,
            refused_until_now: 0,
            context,
            findings: None,
        }
    }

    /// A step begins: what tools said before is no longer of interest.
    fn read_from_here(&mut self) {
        let left_out = self.progress.why_left_out();
        self.findings = Some(Findings::new(self.context.leaving_out(left_out)));
    }

    /// What tools said in the step that ran last.
    pub(crate) fn take_findings(&mut self) -> Vec<ToolFinding> {
        self.findings.take().map_or_else(Vec::new, Findings::into_vec)
    }

    /// Kills whose victim is not known yet, the latest step's first.
    fn nameless_kill(&mut self) -> Option<&mut MemoryKill> {
        self.progress
            .steps
            .iter_mut()
            .rev()
            .flat_map(|step| &mut step.kills)
            .chain(&mut self.kills_between)
            .find(|kill| kill.process.is_none())
    }

    fn add_kill(&mut self, process: Option<String>) {
        let kill = MemoryKill {
            at: Timestamp::now(),
            main_process: None,
            process,
        };
        self.kills_here().push(kill);
    }

    /// Kills of what is being carried out now.
    fn kills_here(&mut self) -> &mut Vec<MemoryKill> {
        match self.progress.current_mut() {
            Some(step) => &mut step.kills,
            None => &mut self.kills_between,
        }
    }

    /// v1's descriptor counts how often the limit was hit, several times for one kill when several processes wait for memory. So it proves
    /// that there was a kill; how many there were is the kernel log's word, where it can be read.
    pub(crate) fn settle_kills(&mut self) {
        let steps = self.progress.steps.iter_mut().map(|step| &mut step.kills);
        for kills in steps.chain([&mut self.kills_between]) {
            if kills.iter().any(|kill| kill.process.is_some()) {
                kills.retain(|kill| kill.process.is_some());
            }
        }
    }
}

impl Observer for BuildObserver<'_> {
    fn line(&mut self, source: LogSource, text: &str) {
        let now = Timestamp::now();
        let kind = match source {
            LogSource::Stdout => self.progress.stdout(text, now),
            _ => self.progress.output(now),
        };
        match kind {
            LineKind::Output => {
                if let Some(findings) = &mut self.findings {
                    findings.line(text);
                }
                self.log.line(source, text);
            }
            LineKind::Heading(heading) => {
                self.read_from_here();
                self.refused_before = self.refused_until_now;
                self.log.line(LogSource::Platform, &heading);
            }
            LineKind::Cached => self
                .log
                .line(LogSource::Platform, "  unchanged, taken from the cache"),
            LineKind::Silent => {}
        }
    }

    fn memory_kills(&mut self, _count: u64) {
        if self.kills_here().iter().any(|kill| kill.process.is_none()) {
            return;
        }
        let is_first = self.kills_here().is_empty();
        self.add_kill(None);
        if is_first {
            let text = format!(
                "the build reached its memory limit of {} MiB and the kernel killed a process of it",
                self.limit_bytes >> 20
            );
            self.log.line(LogSource::Platform, &text);
        }
    }

    fn process_limit_hits(&mut self, hits: u64, cumulative: bool) {
        if cumulative {
            self.refused_until_now = hits;
        }
        let refused = hits.saturating_sub(if cumulative { self.refused_before } else { 0 });
        if let Some(step) = self.progress.current_mut() {
            step.pids_limit_hits = step.pids_limit_hits.max(Some(refused));
        }
    }

    fn victims(&mut self, victims: Vec<Victim>) {
        for victim in victims {
            match self.nameless_kill() {
                Some(kill) => kill.process = Some(victim.name),
                None => self.add_kill(Some(victim.name)),
            }
        }
    }
}

/// Watches a pull: its output goes to the log.
#[derive(Debug)]
pub(crate) struct PullObserver {
    pub log: Arc<dyn BuildLog>,
    pub kills: u64,
}

impl Observer for PullObserver {
    fn line(&mut self, source: LogSource, text: &str) {
        if source == LogSource::Stderr {
            self.log.line(source, text);
        }
    }

    fn memory_kills(&mut self, count: u64) {
        self.kills += count;
    }

    fn process_limit_hits(&mut self, _hits: u64, _cumulative: bool) {}

    fn victims(&mut self, _victims: Vec<Victim>) {}
}

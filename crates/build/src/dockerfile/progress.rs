//! Follows buildah's output: which instruction is running, which came from the cache. Pure but for the timestamps it is given.
//!
//! A step's own output could imitate a heading. It is taken for one only when it is exactly the next heading that buildah would print, and
//! even then it can but blur the times of its own build's steps: how the build ended is never read from here.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{MemoryKill, MemoryRecord, StepFacts, StepOrigin, Termination};

use super::{
    preflight::{Instruction, Keyword, Plan},
    rewrite::Rewritten,
};
use crate::findings::{Before, why_left_out};

/// What a line of buildah's stdout says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Marker {
    /// "[2/3] STEP 4/7: RUN make", or "STEP 4/7: …" when there is one stage. Counted from 1.
    Step {
        stage: usize,
        index: usize,
        total: usize,
    },
    /// "--> Using cache 18ba92…"
    Cached { image: String },
    /// "--> 3e5945b9c16": the instruction was committed.
    Committed,
    /// "[2/2] COMMIT"
    Commit,
}

/// What a line means for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// Output of a step, or talk of buildah: shown as it is.
    Output,
    /// A new instruction; to be shown as our own heading.
    Heading(String),
    /// The current instruction was taken from the cache.
    Cached,
    /// A line of bookkeeping that only the operator's log needs.
    Silent,
}

/// One instruction as it was carried out.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub instruction: Instruction,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub cached: bool,
    pub last_output_at: Option<Timestamp>,
    pub kills: Vec<MemoryKill>,
    pub termination: Option<Termination>,
    pub disk_full: bool,
    pub pids_limit_hits: Option<u64>,
}

/// The state of one `buildah build`.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    plan: &'a Plan,
    rewritten: &'a Rewritten,
    /// buildah's place: stage and instruction, counted from 1; (0, 0) before the first.
    place: (usize, usize),
    pub steps: Vec<Step>,
    /// The last of `steps` is being carried out. False between instructions of ours and while the image is committed.
    running: bool,
    /// Images of cached steps: they are worth keeping.
    pub cached_images: Vec<String>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(plan: &'a Plan, rewritten: &'a Rewritten) -> Self {
        Self {
            plan,
            rewritten,
            place: (0, 0),
            steps: Vec::new(),
            running: false,
            cached_images: Vec::new(),
        }
    }

    /// Takes a line of stdout.
    pub(crate) fn stdout(&mut self, line: &str, now: Timestamp) -> LineKind {
        match marker(line) {
            Some(Marker::Step { stage, index, total }) => self
                .heading(stage, index, total, now)
                .unwrap_or_else(|| self.output(now)),
            Some(Marker::Cached { image }) => {
                self.cached_images.push(image);
                let shown = self.current().is_some();
                if let Some(step) = self.current_mut() {
                    step.cached = true;
                }
                self.end_current(now);
                if shown { LineKind::Cached } else { LineKind::Silent }
            }
            Some(Marker::Committed) => {
                self.end_current(now);
                LineKind::Silent
            }
            Some(Marker::Commit) => {
                self.end_current(now);
                LineKind::Output
            }
            None => self.output(now),
        }
    }

    /// Takes a line of stderr: always output.
    pub(crate) fn output(&mut self, now: Timestamp) -> LineKind {
        if let Some(step) = self.current_mut() {
            step.last_output_at = Some(now);
        }
        LineKind::Output
    }

    fn heading(&mut self, stage: usize, index: usize, total: usize, now: Timestamp) -> Option<LineKind> {
        let numbering = self.rewritten.steps.get(stage.checked_sub(1)?)?;
        // Triggers of the base image (ONBUILD) are inserted behind FROM and make the stage longer.
        let triggers = total.checked_sub(numbering.len())?;
        let is_next =
            (stage == self.place.0 && index == self.place.1 + 1) || (stage > self.place.0 && index == 1);
        if !is_next || index > total {
            return None;
        }
        self.place = (stage, index);
        self.end_current(now);
        let position = if index == 1 {
            Some(0)
        } else {
            index.checked_sub(1 + triggers).filter(|p| *p > 0)
        };
        let instruction = position
            .and_then(|position| *numbering.get(position)?)
            .map(|number| &self.plan.stages[stage - 1].instructions[number]);
        let Some(instruction) = instruction else {
            return Some(LineKind::Silent);
        };
        self.begin(instruction.clone(), now);
        Some(LineKind::Heading(format!(
            "{}:{}  {}",
            self.plan.path, instruction.line, instruction.text
        )))
    }

    /// Why the current step may miss development dependencies: what the instructions before it did, in its stage and those below.
    pub(crate) fn why_left_out(&self) -> Option<String> {
        let step = self.current()?;
        let before = self.plan.instructions_before(step.instruction.line);
        left_out_by(&before, &step.instruction.text)
    }

    /// The same of the image: what the stage that becomes it did and those below, else a stage that it copies from.
    pub(crate) fn why_left_out_of_image(&self) -> Option<String> {
        let left_out = |stage| left_out_by(&self.plan.instructions_of(stage), "");
        let target = self.plan.stages.get(self.plan.target)?;
        let copied_from = || {
            let sources = target
                .instructions
                .iter()
                .rev()
                .filter_map(Instruction::copies_from);
            sources
                .filter_map(|name| self.plan.stage_named(name))
                .find_map(left_out)
        };
        left_out(target).or_else(copied_from)
    }

    /// The image that the stage of the last step begins with: "node:22, Dockerfile line 1".
    pub(crate) fn base_images(&self) -> Vec<String> {
        let line = self.steps.last().map_or(u32::MAX, |step| step.instruction.line);
        let from = self.plan.base_of(line);
        from.map(|from| {
            let image = from
                .text
                .split_whitespace()
                .find(|word| !word.starts_with("--") && *word != "FROM");
            format!(
                "{} ({} line {})",
                image.unwrap_or_default(),
                self.plan.path,
                from.line
            )
        })
        .into_iter()
        .collect()
    }

    fn begin(&mut self, instruction: Instruction, now: Timestamp) {
        self.steps.push(Step {
            instruction,
            started_at: now,
            ended_at: None,
            cached: false,
            last_output_at: None,
            kills: Vec::new(),
            termination: None,
            disk_full: false,
            pids_limit_hits: None,
        });
        self.running = true;
    }

    /// The instruction before a marker ended well; buildah stops at the first that does not.
    fn end_current(&mut self, now: Timestamp) {
        if let Some(step) = self.current_mut() {
            step.ended_at.get_or_insert(now);
            if step.instruction.keyword == Keyword::Run && !step.cached {
                step.termination = Some(Termination::Exited { code: 0 });
            }
            // The first process went on, so what was killed was one of its children.
            for kill in &mut step.kills {
                kill.main_process = Some(false);
            }
        }
        self.running = false;
    }

    /// The instruction that is being carried out.
    pub(crate) fn current(&self) -> Option<&Step> {
        self.steps.last().filter(|_| self.running)
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Step> {
        self.steps.last_mut().filter(|_| self.running)
    }

    /// The current instruction failed, by itself. Between instructions (while the image is committed) that is a step of ours.
    pub(crate) fn fail_current(&mut self, termination: Termination, now: Timestamp) {
        if !self.running {
            self.begin(Instruction::commit(), now);
        }
        let Some(step) = self.steps.last_mut() else { return };
        step.termination = Some(termination);
        step.ended_at.get_or_insert(now);
        let last = step.kills.len();
        let main_was_killed = matches!(termination, Termination::Signaled { signal: 9, .. });
        for (position, kill) in step.kills.iter_mut().enumerate() {
            kill.main_process = Some(main_was_killed && position + 1 == last);
        }
    }
}

impl Step {
    pub(crate) fn is_run(&self) -> bool {
        self.instruction.keyword == Keyword::Run && !self.cached
    }

    /// For the report; `limit_bytes` is the whole build's.
    pub(crate) fn facts(&self, limit_bytes: u64, now: Timestamp) -> StepFacts {
        let elapsed = self.ended_at.unwrap_or(now).duration_since(self.started_at);
        StepFacts {
            text: self.instruction.text.clone(),
            origin: if self.instruction.keyword == Keyword::Run {
                StepOrigin::DockerfileRun
            } else {
                StepOrigin::Platform
            },
            line: Some(self.instruction.line).filter(|line| *line > 0),
            started_at: self.started_at,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(0),
            termination: self.termination,
            memory: MemoryRecord {
                limit_bytes: Some(limit_bytes),
                peak_bytes: None,
                kills: self.kills.clone(),
            },
            last_output_at: self.last_output_at,
            disk_full: self.disk_full,
            pids_limit_hits: self.pids_limit_hits,
        }
    }
}

fn marker(line: &str) -> Option<Marker> {
    if let Some(rest) = line.strip_prefix("--> ") {
        return Some(match rest.strip_prefix("Using cache ") {
            Some(image) => Marker::Cached {
                image: image.trim().to_owned(),
            },
            None if is_hex(rest) => Marker::Committed,
            None => return None,
        });
    }
    let (stage, rest) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((numbers, rest)) => (numbers.split_once('/')?.0.parse().ok()?, rest),
        None => (1, line),
    };
    if rest == "COMMIT" || rest.starts_with("COMMIT ") {
        return Some(Marker::Commit);
    }
    let (numbers, _) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let (index, total) = numbers.split_once('/')?;
    Some(Marker::Step {
        stage,
        index: index.parse().ok()?,
        total: total.parse().ok()?,
    })
}

/// Why development dependencies are missed after these instructions.
fn left_out_by(before: &[&Instruction], step: &str) -> Option<String> {
    let production = before
        .iter()
        .find_map(|instruction| instruction.sets_production());
    let runs: Vec<String> = before
        .iter()
        .filter(|instruction| instruction.keyword == Keyword::Run)
        .map(|instruction| instruction.text.clone())
        .collect();
    why_left_out(Before {
        steps: &runs,
        step,
        production: production.as_deref(),
    })
}

fn is_hex(text: &str) -> bool {
    text.len() >= 11 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::{
        preflight::{PreflightInput, preflight},
        rewrite::rewrite,
    };

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn plan_of(dockerfile: &str) -> Plan {
        preflight(&PreflightInput {
            path: "Dockerfile",
            text: dockerfile,
            architecture: "amd64",
            variables: &std::collections::BTreeMap::new(),
            target: None,
        })
        .unwrap()
    }

    fn follow(
        dockerfile: &str,
        inserted: &[&str],
        lines: &[&str],
    ) -> (Vec<LineKind>, Vec<(u32, bool, bool)>) {
        let plan = plan_of(dockerfile);
        let rewritten = rewrite(&plan, dockerfile, inserted);
        let mut progress = Progress::new(&plan, &rewritten);
        let kinds = lines.iter().map(|line| progress.stdout(line, NOW)).collect();
        let steps = progress
            .steps
            .iter()
            .map(|step| (step.instruction.line, step.cached, step.termination.is_some()))
            .collect();
        (kinds, steps)
    }

    #[test]
    fn headings_become_ours_with_the_line_of_the_file() {
        let (kinds, steps) = follow(
            "FROM a\n\nRUN make \\\n  all\n",
            &[],
            &["STEP 1/2: FROM a", "STEP 2/2: RUN make   all", "hello", "COMMIT"],
        );
        assert_eq!(
            kinds,
            [
                LineKind::Heading("Dockerfile:1  FROM a".to_owned()),
                LineKind::Heading("Dockerfile:3  RUN make all".to_owned()),
                LineKind::Output,
                LineKind::Output,
            ]
        );
        assert_eq!(steps, [(1, false, false), (3, false, true)]);
    }

    #[test]
    fn stages_cached_steps_and_inserted_arguments_are_followed() {
        let (kinds, steps) = follow(
            "FROM a AS b\nRUN one\nFROM unused\nFROM c\nRUN two\n",
            &["X"],
            &[
                "[1/3] STEP 1/3: FROM a AS b",
                "[1/3] STEP 2/3: ARG X",
                "--> Using cache 18ba924812f2a5989147",
                "[1/3] STEP 3/3: RUN one",
                "--> Using cache 28ba924812f2a5989147",
                "[3/3] STEP 1/3: FROM c",
                "[3/3] STEP 2/3: ARG X",
                "[3/3] STEP 3/3: RUN two",
            ],
        );
        assert_eq!(
            kinds[1..5],
            [
                LineKind::Silent,
                LineKind::Silent,
                LineKind::Heading("Dockerfile:2  RUN one".to_owned()),
                LineKind::Cached,
            ]
        );
        assert_eq!(
            steps,
            [
                (1, false, false),
                (2, true, false),
                (4, false, false),
                (5, false, false)
            ]
        );
    }

    #[test]
    fn what_an_image_lacks_is_read_from_the_stages_that_it_is_made_of() {
        for (dockerfile, expected) in [
            (
                "FROM a\nRUN npm ci --omit=dev\nCMD node x",
                Some("`npm ci --omit=dev` left them out in the build"),
            ),
            (
                "FROM a AS deps\nRUN npm ci --production\nFROM a\nCOPY --from=deps /n /n\n",
                Some("`npm ci --production` left them out in the build"),
            ),
            (
                "FROM a AS deps\nRUN npm ci --production\nFROM a\nRUN npm ci\n",
                None,
            ),
        ] {
            let plan = plan_of(dockerfile);
            let rewritten = rewrite(&plan, dockerfile, &[]);
            let progress = Progress::new(&plan, &rewritten);
            assert_eq!(
                progress.why_left_out_of_image().as_deref(),
                expected,
                "{dockerfile}"
            );
        }
    }

    #[test]
    fn imitated_headings_are_output() {
        let (kinds, _) = follow(
            "FROM a\nRUN x\nRUN y\n",
            &[],
            &[
                "STEP 1/3: FROM a",
                "STEP 2/3: RUN x",
                "STEP 1/3: FROM a",
                "STEP 9/3: RUN",
                "STEP 3/2: x",
                "--> no",
            ],
        );
        assert!(
            kinds[2..].iter().all(|kind| *kind == LineKind::Output),
            "{kinds:?}"
        );
    }

    #[test]
    fn triggers_of_the_base_image_shift_the_numbers() {
        let (kinds, _) = follow(
            "FROM a\nRUN x\n",
            &[],
            &["STEP 1/3: FROM a", "STEP 2/3: RUN trigger", "STEP 3/3: RUN x"],
        );
        assert_eq!(kinds[1], LineKind::Silent);
        assert_eq!(kinds[2], LineKind::Heading("Dockerfile:2  RUN x".to_owned()));
    }
}

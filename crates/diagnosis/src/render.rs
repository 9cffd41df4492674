//! A reason as a card of plain text: 80 columns, readable without colour.
//!
//! ```text
//! ContainerHealthChecksFailed: listens_on_other_port
//! Listens on another port
//!
//!   <the message>
//!
//!   listening   0.0.0.0:3000  `node` (pid 7)
//!   changed     services[web].http_port was removed (it was 3000)
//!
//! What to do
//!   1. …
//! ```

use crate::{Cause, Code, EvidenceView, NextStep, ReasonView, Retry, Severity, words};

/// Columns of the card.
const WIDTH: usize = 80;

/// Where the text of a piece of evidence begins.
const TEXT_COLUMN: usize = 14;

/// How much of a piece of evidence a card shows; all of it is in the JSON output.
const LINES_PER_PIECE_MAX: usize = 8;

/// The log's end is shown this long.
const LOG_LINES_MAX: usize = 12;

/// From this share of its limit on, CPU use is worth a line.
const CPU_SHARE_SHOWN_MIN: f64 = 0.5;

/// The card; ends with a newline.
pub fn card(reason: &ReasonView) -> String {
    let mut card = Card::default();
    card.line(&format!("{}: {}", reason.code, reason.cause));
    card.line(&reason.title);
    card.blank();
    card.wrapped("  ", "  ", &reason.message);
    card.blank();
    for piece in reason.evidence.iter().filter(|piece| is_shown(piece)) {
        card.piece(piece);
    }
    for warning in &reason.warnings {
        card.field("also seen", std::slice::from_ref(warning));
    }
    if let Some(retry) = reason.retry.filter(|_| is_over_or_waiting(reason)) {
        card.field("retried", &[retried(retry).to_owned()]);
    }
    card.blank();
    card.steps(&reason.next_steps);
    if let Some(log) = reason.evidence.iter().find(|piece| piece.kind == "log_tail") {
        card.log(&log.lines);
    }
    card.line(&format!("More: mainstay explain {}", reason.cause));
    card.text
}

/// A success has nothing to be tried again.
fn is_over_or_waiting(reason: &ReasonView) -> bool {
    let note = reason
        .code
        .parse::<Code>()
        .is_ok_and(|code| code.severity() == Severity::Note);
    !note && reason.cause != Cause::TerminationFailed.as_str()
}

/// What a card leaves out: the log has its own place, names of variables fill screens, an idle CPU says nothing.
fn is_shown(piece: &EvidenceView) -> bool {
    match piece.kind.as_str() {
        "log_tail" | "step_times" | "variables" => false,
        "cpu" => piece.data["share"]
            .as_f64()
            .is_some_and(|share| share >= CPU_SHARE_SHOWN_MIN),
        _ => true,
    }
}

fn retried(retry: Retry) -> &'static str {
    match retry {
        Retry::No => "no; something has to be changed first",
        Retry::Bounded => "a few times by itself, then it ends here; deploying again is safe",
        Retry::UntilDeadline => "by itself, with back-off, until the deployment's deadline",
        Retry::Always => "by itself",
    }
}

/// A paragraph of 80 columns, every line indented; ends with a newline.
pub(crate) fn wrapped(indent: &str, text: &str) -> String {
    let mut card = Card::default();
    card.wrapped(indent, indent, text);
    card.text
}

#[derive(Debug, Default)]
struct Card {
    text: String,
}

impl Card {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.line("");
    }

    /// Breaks at spaces; a word that is too long for a line (a path, a URL) stays whole.
    fn wrapped(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                rest.clone_into(&mut line);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }

    fn piece(&mut self, piece: &EvidenceView) {
        let mut lines = piece.lines.clone();
        if lines.len() > LINES_PER_PIECE_MAX {
            let hidden = lines.len() - LINES_PER_PIECE_MAX + 1;
            lines.truncate(LINES_PER_PIECE_MAX - 1);
            lines.push(format!("… and {hidden} more (--output json shows all)"));
        }
        self.field(&piece.label, &lines);
    }

    fn field(&mut self, label: &str, lines: &[String]) {
        let rest = " ".repeat(TEXT_COLUMN);
        let mut first = format!("  {label:<width$}", width = TEXT_COLUMN - 2);
        for line in lines {
            let indent = " ".repeat(line.chars().take_while(|character| *character == ' ').count());
            self.wrapped(&first, &format!("{rest}{indent}"), line);
            first.clone_from(&rest);
        }
    }

    fn steps(&mut self, steps: &[NextStep]) {
        if steps.is_empty() {
            return;
        }
        self.line("What to do");
        for (number, step) in (1..).zip(steps) {
            self.wrapped(&format!("  {number}. "), "     ", &step.text);
            let pasted = step
                .spec
                .iter()
                .flat_map(|spec| spec.lines())
                .map(|line| format!("       {line}"));
            for line in pasted.chain(step.command.iter().map(|command| format!("       $ {command}"))) {
                self.line(&line);
            }
        }
        self.blank();
    }

    /// Log lines are never broken anew: what they look like is part of the evidence. Longer ones are cut.
    fn log(&mut self, lines: &[String]) {
        let from = lines.len().saturating_sub(LOG_LINES_MAX);
        self.line(if from > 0 {
            "Last lines of the log (more in the log itself)"
        } else {
            "Log"
        });
        for line in &lines[from..] {
            self.line(&format!("  | {}", words::excerpt_line(line, WIDTH - 4)));
        }
        self.blank();
    }
}

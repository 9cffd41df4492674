//! Facts from tools' own error identifiers, one file per tool. They refine a cause and never decide a code.
//!
//! Lines come in as they are printed; each scanner knows the words of one tool, keeps at most a little state, and adds a finding when
//! the tool named its error. The first finding with a cause is the one that a diagnosis uses, so scanners add the root before what
//! follows from it.

mod bundler;
mod context;
mod go;
mod node;
mod npm;
mod pnpm;
mod python;
mod shell;
mod text;
mod typescript;
mod uv;
mod yarn;

use std::sync::Arc;

use mainstay_diagnosis::{Cause, facts::ToolFinding};

pub use context::FindingContext;

/// Enough for every distinct error of a step that anybody reads.
const FINDINGS_MAX: usize = 20;
const LINE_CHARACTERS_MAX: usize = 500;

/// Reads one step's output.
#[derive(Debug)]
pub struct Findings {
    context: Arc<FindingContext>,
    scanners: Vec<Box<dyn Scanner>>,
    found: Found,
}

/// What was found so far in one step.
#[derive(Debug, Default)]
struct Found(Vec<ToolFinding>);

/// Knows the words of one tool.
trait Scanner: std::fmt::Debug + Send {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found);
}

impl Findings {
    pub fn new(context: impl Into<Arc<FindingContext>>) -> Self {
        let scanners: Vec<Box<dyn Scanner>> = vec![
            Box::new(npm::Npm::default()),
            Box::new(yarn::Yarn),
            Box::new(pnpm::Pnpm),
            Box::new(uv::Uv::default()),
            Box::new(python::Python::default()),
            Box::new(go::Go),
            Box::new(typescript::TypeScript),
            Box::new(bundler::Bundler::default()),
            Box::new(node::Node),
            Box::new(shell::Shell),
        ];
        Self {
            context: context.into(),
            scanners,
            found: Found::default(),
        }
    }

    /// Takes one line of output, without its line end.
    pub fn line(&mut self, line: &str) {
        let plain = text::without_escapes(line);
        let plain = plain.trim_end();
        if plain.is_empty() {
            return;
        }
        for scanner in &mut self.scanners {
            scanner.line(plain, &self.context, &mut self.found);
        }
    }

    pub fn into_vec(self) -> Vec<ToolFinding> {
        self.found.0
    }
}

impl Found {
    /// Adds a finding, unless the tool said the same before.
    fn add(&mut self, tool: &str, identifier: &str, cause: Option<Cause>, line: &str, subject: Option<&str>) {
        let subject = subject
            .map(str::trim)
            .filter(|subject| !subject.is_empty())
            .map(str::to_owned);
        let known = |finding: &ToolFinding| {
            finding.tool == tool && finding.identifier == identifier && finding.subject == subject
        };
        if self.0.len() >= FINDINGS_MAX || self.0.iter().any(known) {
            return;
        }
        self.0.push(ToolFinding {
            tool: tool.to_owned(),
            identifier: identifier.to_owned(),
            cause,
            line: line.trim().chars().take(LINE_CHARACTERS_MAX).collect(),
            subject,
        });
    }

    /// The latest finding of a tool, to be completed by a line that says more.
    fn latest(&mut self, tool: &str) -> Option<&mut ToolFinding> {
        self.0.iter_mut().rev().find(|finding| finding.tool == tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings of an output as `tool identifier cause subject`, one a line.
    pub(super) fn of(output: &str, context: FindingContext) -> Vec<String> {
        let mut findings = Findings::new(context);
        output.lines().for_each(|line| findings.line(line));
        let describe = |finding: ToolFinding| {
            format!(
                "{} {} {} {}",
                finding.tool,
                finding.identifier,
                finding.cause.map_or("-", Cause::as_str),
                finding.subject.unwrap_or_else(|| "-".to_owned())
            )
        };
        findings.into_vec().into_iter().map(describe).collect()
    }

    #[test]
    fn the_same_error_is_kept_once_and_the_number_is_bounded() {
        let same = "src/a.ts(1,1): error TS2304: Cannot find name 'x'.\n".repeat(5);
        assert_eq!(of(&same, FindingContext::default()).len(), 1);
        let lines: Vec<String> = (0..100)
            .map(|line| format!("src/a.ts({line},1): error TS2304: Cannot find name 'x'."))
            .collect();
        let many = lines.join("\n");
        assert_eq!(of(&many, FindingContext::default()).len(), FINDINGS_MAX);
    }
}

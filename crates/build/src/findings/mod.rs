//! Facts from tools' own error identifiers, one file per tool. They refine a cause and never decide a code.
//!
//! Lines come in as they are printed; each scanner knows the words of one tool, keeps at most a little state, and adds a finding when
//! the tool named its error. What a tool misses is held against the source ([`FindingContext`]): a file that an ignore rule keeps out, a
//! name in another letter case, a package that only development needs. The first finding with a cause is the one that a diagnosis uses,
//! so scanners add the root before what follows from it; sentences that harmless steps print too come after all others.

mod bun;
mod bundler;
mod cargo;
mod composer;
mod context;
mod files;
mod git;
mod go;
mod hugo;
mod left_out;
mod native;
mod next;
mod node;
mod npm;
mod pip;
mod pnpm;
mod prisma;
mod python;
mod registry_access;
mod shell;
mod source_files;
mod text;
mod typescript;
mod uv;
mod vite;
mod webpack;
mod yarn;

use mainstay_diagnosis::{
    Cause,
    facts::{Clue, ToolFinding},
};

pub use context::FindingContext;
pub(crate) use left_out::{Before, why_left_out};

/// Enough for every distinct error of a step that anybody reads.
const FINDINGS_MAX: usize = 20;
const LINE_CHARACTERS_MAX: usize = 500;

/// Reads one step's output.
#[derive(Debug)]
pub struct Findings {
    context: FindingContext,
    registries: registry_access::Registries,
    scanners: Vec<Box<dyn Scanner>>,
    found: Found,
}

/// What was found so far in one step.
#[derive(Debug, Default)]
struct Found {
    findings: Vec<ToolFinding>,
    /// The latest sentence that steps which go on well print, too.
    weak: Option<ToolFinding>,
}

/// Knows the words of one tool.
trait Scanner: std::fmt::Debug + Send {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found);
}

impl Findings {
    pub fn new(context: FindingContext) -> Self {
        let scanners: Vec<Box<dyn Scanner>> = vec![
            Box::new(native::Native),
            Box::new(git::Git),
            Box::new(registry_access::OwnWords),
            Box::new(prisma::Prisma),
            Box::new(npm::Npm::default()),
            Box::new(yarn::Yarn),
            Box::new(pnpm::Pnpm::default()),
            Box::new(bun::Bun),
            Box::new(uv::Uv::default()),
            Box::new(pip::Pip::default()),
            Box::new(python::Python::default()),
            Box::new(go::Go),
            Box::new(hugo::Hugo),
            Box::new(cargo::Cargo::default()),
            Box::new(composer::Composer::default()),
            Box::new(bundler::Bundler),
            Box::new(typescript::TypeScript),
            Box::new(next::Next::default()),
            Box::new(vite::Vite::default()),
            Box::new(webpack::Webpack::default()),
            Box::new(node::Node),
            Box::new(shell::Shell),
            Box::new(files::Files),
        ];
        Self {
            context,
            registries: registry_access::Registries::default(),
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
        self.registries.line(plain);
        for scanner in &mut self.scanners {
            scanner.line(plain, &self.context, &mut self.found);
        }
    }

    pub fn into_vec(self) -> Vec<ToolFinding> {
        let Found { mut findings, weak } = self.found;
        self.registries.explain(&mut findings, &self.context);
        findings.extend(weak);
        findings
    }
}

impl Found {
    /// Adds a finding, unless the tool said the same before.
    fn add(&mut self, tool: &str, identifier: &str, cause: Option<Cause>, line: &str, subject: Option<&str>) {
        self.push(finding(tool, identifier, (cause, None), line, subject));
    }

    /// Adds a finding that was held against the source.
    fn explain(
        &mut self,
        tool: &str,
        identifier: &str,
        (cause, clue): (Cause, Option<Clue>),
        line: &str,
        subject: Option<&str>,
    ) {
        self.push(finding(tool, identifier, (Some(cause), clue), line, subject));
    }

    /// Notes a sentence that counts only if no tool named an error; the last one is the likeliest.
    fn note(
        &mut self,
        tool: &str,
        identifier: &str,
        (cause, clue): (Cause, Option<Clue>),
        line: &str,
        subject: Option<&str>,
    ) {
        self.weak = Some(finding(tool, identifier, (Some(cause), clue), line, subject));
    }

    fn push(&mut self, finding: ToolFinding) {
        let known = |other: &ToolFinding| {
            (&other.tool, &other.identifier, &other.subject)
                == (&finding.tool, &finding.identifier, &finding.subject)
        };
        if self.findings.len() < FINDINGS_MAX && !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }

    /// The latest finding of a tool, to be completed by a line that says more.
    fn latest(&mut self, tool: &str) -> Option<&mut ToolFinding> {
        self.findings
            .iter_mut()
            .rev()
            .find(|finding| finding.tool == tool)
    }

    /// A package that cannot be compiled, as its package manager names it. What it needs may have been said before.
    fn not_compilable(&mut self, tool: &str, identifier: &str, line: &str, package: &str) {
        match self.not_compiled() {
            Some(known) if known.tool == native::TOOL => {
                known.subject = Some(package.to_owned());
                tool.clone_into(&mut known.tool);
                identifier.clone_into(&mut known.identifier);
            }
            _ => {
                let cause = Some(Cause::DependencyNotCompilable);
                self.add(tool, identifier, cause, line, Some(package));
            }
        }
    }

    /// A program or header that a compilation misses. The package may have been named before.
    fn needs(&mut self, what: &str, line: &str) {
        let clue = Clue::Needs {
            what: what.to_owned(),
        };
        match self.not_compiled() {
            Some(known) if known.clue.is_none() => {
                known.line = shortened(line);
                known.clue = Some(clue);
            }
            Some(_) => {}
            None => {
                let cause = (Cause::DependencyNotCompilable, Some(clue));
                self.explain(native::TOOL, "missing", cause, line, Some(what));
            }
        }
    }

    fn not_compiled(&mut self) -> Option<&mut ToolFinding> {
        let cause = Some(Cause::DependencyNotCompilable);
        self.findings
            .iter_mut()
            .rev()
            .find(|finding| finding.cause == cause)
    }
}

fn finding(
    tool: &str,
    identifier: &str,
    (cause, clue): (Option<Cause>, Option<Clue>),
    line: &str,
    subject: Option<&str>,
) -> ToolFinding {
    let subject = subject.map(str::trim).filter(|subject| !subject.is_empty());
    ToolFinding {
        tool: tool.to_owned(),
        identifier: identifier.to_owned(),
        cause,
        line: shortened(line),
        subject: subject.map(str::to_owned),
        clue,
    }
}

fn shortened(line: &str) -> String {
    line.trim().chars().take(LINE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings of an output as `tool identifier cause subject`, and the clue's facts.
    pub(super) fn of(output: &str, context: FindingContext) -> Vec<String> {
        let mut findings = Findings::new(context);
        output.lines().for_each(|line| findings.line(line));
        let describe = |finding: ToolFinding| {
            let cause = finding.cause.map_or("-", Cause::as_str);
            let subject = finding.subject.unwrap_or_else(|| "-".to_owned());
            let clue = finding
                .clue
                .map_or(String::new(), |clue| format!(" | {}", facts_of(&clue)));
            format!("{} {} {cause} {subject}{clue}", finding.tool, finding.identifier)
        };
        findings.into_vec().into_iter().map(describe).collect()
    }

    fn facts_of(clue: &Clue) -> String {
        match clue {
            Clue::IgnoredBy { path, rule } => format!("{path} by {rule}"),
            Clue::SpeltAs { actual } => format!("spelt {actual}"),
            Clue::LiesAt { path } => format!("at {path}"),
            Clue::OutsideOfSource { path, .. } => format!("outside at {path}"),
            Clue::NotCopied { path } => format!("not copied {path}"),
            Clue::OtherLockFiles { files } => format!("others {}", files.join(" ")),
            Clue::LeftOut { manifest, reason } => format!("{manifest}, {reason}"),
            Clue::Needs { what } => format!("needs {what}"),
            Clue::ReadBy { file, line } => format!("read by {file} line {line}"),
        }
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

    #[test]
    fn a_sentence_that_proves_nothing_comes_last() {
        let output = "cat: VERSION: No such file or directory\n./main.go:12:2: undefined: x\n";
        assert_eq!(
            of(output, FindingContext::default()),
            [
                "go compile compile_error ./main.go:12:2",
                "cat ENOENT file_missing VERSION"
            ]
        );
    }
}

//! Replaces variables and connects the stages: which image or stage each one starts from, what the target needs, which files and
//! images are named.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_diagnosis::facts::BuildFault;

use super::{
    PreflightInput,
    expand::{Unknown, Variables, expand},
    plan::{ContextUse, ImageUse, Keyword, Plan, Stage},
    reader::{Detail, Read, Reading},
};

/// Where a stage starts, or what `--from` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Scratch,
    Stage(usize),
    Image(String),
}

/// One stage while it is being resolved.
#[derive(Debug, Default)]
struct Draft {
    name: Option<String>,
    needs: BTreeSet<usize>,
    images: Vec<ImageUse>,
    context_uses: Vec<ContextUse>,
    arguments: Vec<String>,
    /// `ENV` at its end, for stages that start from it.
    env: Variables,
}

pub(super) fn resolve(input: &PreflightInput<'_>, reading: Reading) -> Result<Plan, BuildFault> {
    let mut resolver = Resolver::new(input, &reading);
    for stage in &reading.stages {
        let draft = resolver.stage(stage)?;
        resolver.drafts.push(draft);
    }
    let target = resolver.target()?;
    let used = resolver.reachable(target);
    Ok(plan(input, reading, resolver, target, &used))
}

fn plan(
    input: &PreflightInput<'_>,
    reading: Reading,
    resolver: Resolver<'_>,
    target: usize,
    used: &BTreeSet<usize>,
) -> Plan {
    let mut plan = Plan {
        path: input.path.to_owned(),
        stages: Vec::new(),
        target,
        declared_arguments: resolver.head_names,
        images: Vec::new(),
        context_uses: Vec::new(),
    };
    for (index, (draft, stage)) in resolver.drafts.into_iter().zip(reading.stages).enumerate() {
        let is_used = used.contains(&index);
        if is_used {
            plan.images.extend(draft.images);
            plan.context_uses.extend(draft.context_uses);
            plan.declared_arguments.extend(draft.arguments);
        }
        plan.stages.push(Stage {
            name: draft.name,
            used: is_used,
            instructions: stage.into_iter().map(|read| read.instruction).collect(),
        });
    }
    plan.declared_arguments.sort();
    plan.declared_arguments.dedup();
    let mut seen = BTreeSet::new();
    plan.images.retain(|image| seen.insert(image.reference.clone()));
    plan
}

struct Resolver<'a> {
    input: &'a PreflightInput<'a>,
    escape: char,
    platform: Variables,
    /// Values of the `ARG`s before the first `FROM`.
    head: Variables,
    head_names: Vec<String>,
    stage_names: Vec<Option<String>>,
    drafts: Vec<Draft>,
}

impl<'a> Resolver<'a> {
    fn new(input: &'a PreflightInput<'a>, reading: &Reading) -> Self {
        let stage_names = reading.stages.iter().map(|stage| stage_name(&stage[0])).collect();
        let mut resolver = Self {
            input,
            escape: reading.escape,
            platform: platform_arguments(input.architecture),
            head: Variables::new(),
            head_names: Vec::new(),
            stage_names,
            drafts: Vec::new(),
        };
        resolver.read_head(&reading.head);
        resolver
    }

    fn read_head(&mut self, head: &[Read]) {
        for read in head {
            let Detail::Arg(pairs) = &read.detail else {
                continue;
            };
            for (name, default) in pairs {
                self.head_names.push(name.clone());
                let known = self.with_platform(&self.head);
                let value = self.argument_value(name, default.as_deref(), &known);
                if let Some(value) = value {
                    self.head.insert(name.clone(), value);
                }
            }
        }
    }

    fn with_platform(&self, variables: &Variables) -> Variables {
        let mut all = self.platform.clone();
        all.extend(variables.clone());
        all
    }

    /// The build's own value, else the default with its variables replaced.
    fn argument_value(&self, name: &str, default: Option<&str>, known: &Variables) -> Option<String> {
        if let Some(value) = self.input.variables.get(name) {
            return Some(value.clone());
        }
        default.and_then(|default| expand(default, known, self.escape).ok())
    }

    fn stage(&self, stage: &[Read]) -> Result<Draft, BuildFault> {
        let mut draft = Draft::default();
        let (from, rest) = stage.split_first().expect("a stage begins with its FROM");
        self.from(from, &mut draft)?;
        let mut variables = draft.env.clone();
        for read in rest {
            self.instruction(read, &mut variables, &mut draft)?;
        }
        Ok(draft)
    }

    fn from(&self, read: &Read, draft: &mut Draft) -> Result<(), BuildFault> {
        let Detail::From {
            image,
            platform,
            name,
        } = &read.detail
        else {
            return Ok(());
        };
        draft.name.clone_from(name);
        let known = self.with_platform(&self.head);
        self.check_platform(read, platform.as_deref(), &known)?;
        let reference =
            expand(image, &known, self.escape).map_err(|unknown| self.no_value(read, &unknown))?;
        if reference.trim().is_empty() || reference.starts_with(':') || reference.ends_with(':') {
            return Err(self.invalid(read, format!("the base image `{image}` becomes `{reference}`")));
        }
        match self.origin(&reference) {
            Origin::Stage(index) => {
                draft.needs.insert(index);
                draft.env.clone_from(&self.drafts[index].env);
            }
            Origin::Image(reference) => draft.images.push(image_use(read, reference, false)),
            Origin::Scratch => {}
        }
        Ok(())
    }

    fn check_platform(
        &self,
        read: &Read,
        platform: Option<&str>,
        known: &Variables,
    ) -> Result<(), BuildFault> {
        let Some(written) = platform else { return Ok(()) };
        let Ok(platform) = expand(written, known, self.escape) else {
            return Ok(());
        };
        let mut parts = platform.split('/');
        let (os, architecture) = (parts.next().unwrap_or_default(), parts.next());
        let fits = os == "linux" && architecture.is_none_or(|name| name == self.input.architecture);
        if platform.is_empty() || fits {
            return Ok(());
        }
        Err(BuildFault::Unsupported {
            what: format!(
                "FROM --platform={platform} ({} line {})",
                self.input.path, read.instruction.line
            ),
            reason: format!("this node runs linux/{}", self.input.architecture),
        })
    }

    fn no_value(&self, read: &Read, unknown: &Unknown) -> BuildFault {
        let name = &unknown.0;
        let message = if self.head_names.contains(name) {
            format!("`ARG {name}` has no default, and no build-time variable {name} is set")
        } else {
            format!("{name} is used in FROM, but no `ARG {name}` stands before the first FROM")
        };
        self.invalid(read, message)
    }

    fn invalid(&self, read: &Read, message: String) -> BuildFault {
        BuildFault::DockerfileInvalid {
            path: self.input.path.to_owned(),
            line: Some(read.instruction.line),
            message,
        }
    }

    /// What a name after `FROM` or `--from=` stands for, seen from the stage that is being resolved.
    fn origin(&self, name: &str) -> Origin {
        let earlier = self.drafts.len();
        let by_name = self.stage_names[..earlier].iter().rposition(|stage| {
            stage
                .as_deref()
                .is_some_and(|stage| stage.eq_ignore_ascii_case(name))
        });
        let by_number = || name.parse().ok().filter(|index| *index < earlier);
        match by_name.or_else(by_number) {
            Some(index) => Origin::Stage(index),
            None if name == "scratch" => Origin::Scratch,
            None => Origin::Image(name.to_owned()),
        }
    }

    fn instruction(
        &self,
        read: &Read,
        variables: &mut Variables,
        draft: &mut Draft,
    ) -> Result<(), BuildFault> {
        match &read.detail {
            Detail::Arg(pairs) => self.arguments(pairs, variables, draft),
            Detail::Env(pairs) => self.env(pairs, variables, draft),
            Detail::Files { from, sources } => {
                self.files(read, from.as_deref(), sources, variables, draft)?;
            }
            Detail::Run { mounts } => {
                for mount in mounts {
                    let sources: Vec<String> = match (mount.kind.as_str(), &mount.source) {
                        ("bind", Some(source)) => vec![source.clone()],
                        _ => Vec::new(),
                    };
                    self.files(read, mount.from.as_deref(), &sources, variables, draft)?;
                }
            }
            Detail::From { .. } | Detail::Other => {}
        }
        Ok(())
    }

    fn arguments(&self, pairs: &[(String, Option<String>)], variables: &mut Variables, draft: &mut Draft) {
        for (name, default) in pairs {
            draft.arguments.push(name.clone());
            if draft.env.contains_key(name) {
                continue; // ENV wins over ARG.
            }
            let known = self.with_platform(variables);
            let inherited = || self.head.get(name).or_else(|| self.platform.get(name)).cloned();
            let value = match default {
                Some(default) => self.argument_value(name, Some(default), &known),
                None => self.argument_value(name, None, &known).or_else(inherited),
            };
            // An argument without any value is empty for the instructions that follow.
            variables.insert(name.clone(), value.unwrap_or_default());
        }
    }

    fn env(&self, pairs: &[(String, Option<String>)], variables: &mut Variables, draft: &mut Draft) {
        let before = variables.clone();
        for (name, value) in pairs {
            if let Ok(value) = expand(value.as_deref().unwrap_or_default(), &before, self.escape) {
                variables.insert(name.clone(), value.clone());
                draft.env.insert(name.clone(), value);
            } else {
                variables.remove(name);
                draft.env.remove(name);
            }
        }
    }

    fn files(
        &self,
        read: &Read,
        from: Option<&str>,
        sources: &[String],
        variables: &Variables,
        draft: &mut Draft,
    ) -> Result<(), BuildFault> {
        let Some(from) = from else {
            self.context_files(read, sources, variables, draft);
            return Ok(());
        };
        let mut known = self.with_platform(&self.head);
        known.extend(variables.clone());
        let Ok(from) = expand(from, &known, self.escape) else {
            return Ok(());
        };
        match self.origin(&from) {
            Origin::Stage(index) => {
                draft.needs.insert(index);
            }
            Origin::Image(reference) => {
                self.check_not_misspelt(read, &reference)?;
                let may_be_stage = !reference.contains(['/', ':', '.', '@']);
                draft.images.push(image_use(read, reference, may_be_stage));
            }
            Origin::Scratch => {}
        }
        Ok(())
    }

    fn context_files(&self, read: &Read, sources: &[String], variables: &Variables, draft: &mut Draft) {
        let resolved: Option<Vec<String>> = sources
            .iter()
            .map(|source| expand(source, variables, self.escape).ok())
            .collect();
        // A variable that only the build knows: nothing can be said about this instruction.
        if let Some(sources) = resolved.filter(|sources| !sources.is_empty()) {
            draft.context_uses.push(ContextUse {
                line: read.instruction.line,
                instruction: read.instruction.text.clone(),
                sources,
            });
        }
    }

    /// `--from=` with the name of a later stage, or almost the name of an earlier one, is no image.
    fn check_not_misspelt(&self, read: &Read, name: &str) -> Result<(), BuildFault> {
        let here = self.drafts.len();
        let is_later = self.stage_names[here..]
            .iter()
            .flatten()
            .any(|stage| stage.eq_ignore_ascii_case(name));
        let close = self.stage_names[..here]
            .iter()
            .flatten()
            .filter(|stage| strsim::osa_distance(stage, name) <= (name.len() / 4).max(1))
            .min_by_key(|stage| strsim::osa_distance(stage, name));
        let number_out_of_range = name.bytes().all(|byte| byte.is_ascii_digit());
        let message = match close {
            _ if is_later => format!("stage `{name}` is built after this one"),
            Some(close) => format!("no stage is named `{name}`; did you mean `{close}`?"),
            None if number_out_of_range => {
                format!("there is no stage {name} before this one; stages count from 0")
            }
            None => return Ok(()),
        };
        Err(BuildFault::DockerfileInstruction {
            path: self.input.path.to_owned(),
            line: Some(read.instruction.line),
            instruction: read.instruction.text.clone(),
            message,
            missing: Some(name.to_owned()),
            ignored_by: None,
            clue: None,
        })
    }

    fn target(&self) -> Result<usize, BuildFault> {
        let last = self.drafts.len() - 1;
        let Some(wanted) = self.input.target else {
            return Ok(last);
        };
        let by_name = self.stage_names.iter().position(|stage| {
            stage
                .as_deref()
                .is_some_and(|stage| stage.eq_ignore_ascii_case(wanted))
        });
        let by_number = || wanted.parse().ok().filter(|index| *index <= last);
        by_name.or_else(by_number).ok_or_else(|| {
            let names: Vec<&str> = self.stage_names.iter().flatten().map(String::as_str).collect();
            BuildFault::DockerfileInvalid {
                path: self.input.path.to_owned(),
                line: None,
                message: format!("no stage is named `{wanted}`; stages: {}", names.join(", ")),
            }
        })
    }

    fn reachable(&self, target: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![target];
        while let Some(index) = waiting.pop() {
            if reached.insert(index) {
                waiting.extend(&self.drafts[index].needs);
            }
        }
        reached
    }
}

fn stage_name(from: &Read) -> Option<String> {
    match &from.detail {
        Detail::From { name, .. } => name.clone(),
        _ => None,
    }
}

fn image_use(read: &Read, reference: String, may_be_stage: bool) -> ImageUse {
    debug_assert!(!may_be_stage || read.instruction.keyword != Keyword::From);
    ImageUse {
        reference,
        line: read.instruction.line,
        instruction: read.instruction.text.clone(),
        may_be_stage,
    }
}

/// Values for the `ARG`s that every builder knows, for this node.
fn platform_arguments(architecture: &str) -> BTreeMap<String, String> {
    let platform = format!("linux/{architecture}");
    [
        ("TARGETPLATFORM", platform.as_str()),
        ("TARGETOS", "linux"),
        ("TARGETARCH", architecture),
        ("TARGETVARIANT", ""),
        ("BUILDPLATFORM", platform.as_str()),
        ("BUILDOS", "linux"),
        ("BUILDARCH", architecture),
        ("BUILDVARIANT", ""),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

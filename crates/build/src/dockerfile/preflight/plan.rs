//! The Dockerfile as it will be built: stages, instructions with their lines, image references. Pure data.

use std::ops::Range;

/// What will be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// As the user wrote the path, for messages.
    pub path: String,
    pub stages: Vec<Stage>,
    /// Index of the stage that becomes the image.
    pub target: usize,
    /// Names that an `ARG` declares, in a used stage or at the head of the file.
    pub declared_arguments: Vec<String>,
    /// Images from registries or the shared store that the build needs, in order of first use.
    pub images: Vec<ImageUse>,
    /// Files of the build context that instructions name, with variables replaced.
    pub context_uses: Vec<ContextUse>,
}

impl Plan {
    /// The instructions whose work the one at `line` finds: of its stage, and of the stages that this one is built on.
    pub(crate) fn instructions_before(&self, line: u32) -> Vec<&Instruction> {
        self.stage_at(line)
            .map_or_else(Vec::new, |stage| self.instructions_until(stage, line))
    }

    /// The same of a whole stage.
    pub(crate) fn instructions_of<'a>(&'a self, stage: &'a Stage) -> Vec<&'a Instruction> {
        self.instructions_until(stage, u32::MAX)
    }

    fn instructions_until<'a>(&'a self, mut stage: &'a Stage, line: u32) -> Vec<&'a Instruction> {
        let mut found: Vec<&Instruction> = Vec::new();
        loop {
            let own = stage
                .instructions
                .iter()
                .filter(|instruction| instruction.line < line);
            found = own.chain(found).collect();
            match self.below(stage) {
                Some(below) => stage = below,
                None => return found,
            }
        }
    }

    /// The `FROM` that names the image below the instruction at `line`.
    pub(crate) fn base_of(&self, line: u32) -> Option<&Instruction> {
        let mut stage = self.stage_at(line)?;
        while let Some(below) = self.below(stage) {
            stage = below;
        }
        stage.instructions.first()
    }

    /// The stage of this name.
    pub(crate) fn stage_named(&self, name: &str) -> Option<&Stage> {
        let is_it = |stage: &&Stage| {
            let own = stage.name.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.stages.iter().rev().find(is_it)
    }

    fn stage_at(&self, line: u32) -> Option<&Stage> {
        let begins_before = |stage: &&Stage| stage.instructions.first().is_some_and(|from| from.line <= line);
        self.stages.iter().rev().find(begins_before)
    }

    /// The earlier stage that this one begins with.
    fn below(&self, stage: &Stage) -> Option<&Stage> {
        let from = stage.instructions.first()?;
        let named = from
            .text
            .split_whitespace()
            .skip(1)
            .find(|word| !word.starts_with("--"))?;
        let is_it = |other: &&Stage| {
            let is_earlier = other
                .instructions
                .first()
                .is_some_and(|other| other.line < from.line);
            is_earlier
                && other
                    .name
                    .as_deref()
                    .is_some_and(|name| name.eq_ignore_ascii_case(named))
        };
        self.stages.iter().rev().find(is_it)
    }
}

impl Instruction {
    /// "deps" of `COPY --from=deps …`.
    pub(crate) fn copies_from(&self) -> Option<&str> {
        let words = self.text.split_whitespace();
        words
            .take_while(|word| *word == "COPY" || word.starts_with("--"))
            .find_map(|word| word.strip_prefix("--from="))
    }

    /// "`ENV NODE_ENV=production` (line 4)", if it is that.
    pub(crate) fn sets_production(&self) -> Option<String> {
        let sets = [
            "NODE_ENV=production",
            "NODE_ENV production",
            "NODE_ENV=\"production\"",
        ]
        .iter()
        .any(|words| self.text.contains(words));
        (self.keyword == Keyword::Other && sets).then(|| format!("`{}` (line {})", self.text, self.line))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub name: Option<String>,
    /// False: neither the target nor anything it needs; buildah skips it.
    pub used: bool,
    /// The first one is the `FROM`.
    pub instructions: Vec<Instruction>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub keyword: Keyword,
    /// From 1.
    pub line: u32,
    /// On one line, without comments.
    pub text: String,
    /// Bytes of the file, line end excluded.
    pub span: Range<usize>,
    /// Bytes to leave out of what buildah reads: flags that change nothing here but that it does not know.
    pub dropped: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    From,
    Run,
    Copy,
    Add,
    Other,
}

impl Instruction {
    /// What buildah does after the last one; it has no line.
    pub(crate) fn commit() -> Self {
        Self {
            keyword: Keyword::Other,
            line: 0,
            text: "saving the image".to_owned(),
            span: 0..0,
            dropped: Vec::new(),
        }
    }
}

/// An image that an instruction refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUse {
    /// With variables replaced.
    pub reference: String,
    pub line: u32,
    /// Text of the instruction.
    pub instruction: String,
    /// `COPY --from=word`: a stage that does not exist, or an image with a short name; only a pull can tell.
    pub may_be_stage: bool,
}

/// Source files of one `COPY`, `ADD` or bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextUse {
    pub line: u32,
    pub instruction: String,
    /// As written, with variables replaced; patterns included.
    pub sources: Vec<String>,
}

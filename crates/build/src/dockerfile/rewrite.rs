//! The private copy of the Dockerfile that buildah reads.
//!
//! It differs from the user's in two ways, and never in its meaning: flags that change nothing here but that this buildah refuses are
//! left out, and behind each `FROM` an `ARG` declares the operator's step settings (proxy, certificates), because buildah 1.28 has no other
//! way to show a variable to `RUN` without keeping it in the image.

use super::preflight::{Instruction, Plan};

/// The copy, and which instruction each of buildah's numbered steps is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub text: String,
    /// Per stage, in buildah's numbering from 0: the instruction, `None` for one of ours.
    pub steps: Vec<Vec<Option<usize>>>,
}

pub(crate) fn rewrite(plan: &Plan, text: &str, step_variables: &[&str]) -> Rewritten {
    let mut copy = String::with_capacity(text.len() + 256);
    let mut position = 0;
    for stage in &plan.stages {
        for (index, instruction) in stage.instructions.iter().enumerate() {
            position = copy_without_dropped(&mut copy, text, position, instruction);
            if index == 0 {
                for name in step_variables {
                    copy.push_str("\nARG ");
                    copy.push_str(name);
                }
            }
        }
    }
    copy.push_str(&text[position..]);
    Rewritten {
        text: copy,
        steps: plan
            .stages
            .iter()
            .map(|stage| numbering(stage.instructions.len(), step_variables.len()))
            .collect(),
    }
}

/// Copies from `position` to the end of the instruction; returns that end.
fn copy_without_dropped(copy: &mut String, text: &str, position: usize, instruction: &Instruction) -> usize {
    let mut from = position;
    for dropped in &instruction.dropped {
        copy.push_str(&text[from..dropped.start]);
        from = dropped.end;
    }
    copy.push_str(&text[from..instruction.span.end]);
    instruction.span.end
}

fn numbering(instructions: usize, inserted: usize) -> Vec<Option<usize>> {
    std::iter::once(Some(0))
        .chain(std::iter::repeat_n(None, inserted))
        .chain((1..instructions).map(Some))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::preflight::{PreflightInput, preflight};

    #[test]
    fn settings_are_declared_behind_each_from_and_nothing_else_moves() {
        let text = "# syntax=x\nFROM a AS b\nRUN \\\n  # c\n  x\n\nFROM b\nCOPY --link y /y\n# end\n";
        let plan = preflight(&PreflightInput {
            path: "Dockerfile",
            text,
            architecture: "amd64",
            variables: &std::collections::BTreeMap::new(),
            target: None,
        })
        .unwrap();
        let rewritten = rewrite(&plan, text, &["SSL_CERT_FILE"]);
        assert_eq!(
            rewritten.text,
            "# syntax=x\nFROM a AS b\nARG SSL_CERT_FILE\nRUN \\\n  # c\n  x\n\nFROM b\nARG SSL_CERT_FILE\nCOPY  y /y\n# end\n"
        );
        assert_eq!(
            rewritten.steps,
            [[Some(0), None, Some(1)], [Some(0), None, Some(1)]]
        );
        assert_eq!(rewrite(&plan, text, &[]).steps[0], [Some(0), Some(1)]);
    }
}

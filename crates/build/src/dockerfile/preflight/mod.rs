//! Reads the Dockerfile before anything runs: what cannot work is refused in milliseconds, with the line.
//!
//! `reader` (text → instructions) → `resolve` (variables, stages, images) → `context` (do the named files exist, or does an ignore rule
//! hide them). All but the last are pure.

mod context;
mod expand;
mod plan;
mod reader;
mod resolve;
mod support;

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::BuildFault;

pub(crate) use context::{ContextView, check_context};
pub(crate) use plan::{ImageUse, Instruction, Keyword, Plan};

/// What the pure part looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreflightInput<'a> {
    /// As the user knows it: relative to the repository.
    pub path: &'a str,
    pub text: &'a str,
    /// "amd64", "arm64".
    pub architecture: &'a str,
    /// Variables of build scope.
    pub variables: &'a BTreeMap<String, String>,
    pub target: Option<&'a str>,
}

/// The plan of the build, or why there can be none.
pub(crate) fn preflight(input: &PreflightInput<'_>) -> Result<Plan, BuildFault> {
    let reading = reader::read(input.path, input.text)?;
    resolve::resolve(input, reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, variables: &[(&str, &str)], target: Option<&str>) -> Result<Plan, BuildFault> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        preflight(&PreflightInput {
            path: "Dockerfile",
            text,
            architecture: "amd64",
            variables: &variables,
            target,
        })
    }

    fn images(plan: &Plan) -> Vec<&str> {
        plan.images.iter().map(|image| image.reference.as_str()).collect()
    }

    #[test]
    fn images_of_used_stages_only_are_needed() {
        let text = "ARG V=3\nFROM node:$V AS build\nFROM unused:1 AS other\nFROM scratch\n\
                    COPY --from=build /x /\nCOPY --from=nginx:1 /etc /e\n";
        let plan = run(text, &[("V", "22")], None).unwrap();
        assert_eq!(images(&plan), ["node:22", "nginx:1"]);
        assert_eq!(
            plan.stages.iter().map(|s| s.used).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(plan.declared_arguments, ["V"]);
    }

    #[test]
    fn the_target_is_found_by_name_and_number() {
        let text = "FROM a AS one\nFROM b AS two\n";
        assert_eq!(images(&run(text, &[], Some("ONE")).unwrap()), ["a"]);
        assert_eq!(images(&run(text, &[], Some("1")).unwrap()), ["b"]);
        let BuildFault::DockerfileInvalid { message, .. } = run(text, &[], Some("three")).unwrap_err() else {
            panic!("not refused");
        };
        assert_eq!(message, "no stage is named `three`; stages: one, two");
    }

    #[test]
    fn misspelt_and_later_stages_are_refused_with_their_line() {
        for (text, message) in [
            (
                "FROM a AS build\nFROM b\nCOPY --from=biuld /x /x\n",
                "no stage is named `biuld`; did you mean `build`?",
            ),
            (
                "FROM a\nFROM b\nCOPY --from=final /x /x\nFROM c AS final\nCOPY --from=1 /x /x\n",
                "stage `final` is built after this one",
            ),
            (
                "FROM a\nFROM b\nCOPY --from=7 /x /x\n",
                "there is no stage 7 before this one; stages count from 0",
            ),
        ] {
            let fault = run(text, &[], None).unwrap_err();
            let BuildFault::DockerfileInstruction {
                line, message: said, ..
            } = fault
            else {
                panic!("{fault:?}");
            };
            assert_eq!((line, said.as_str()), (Some(3), message));
        }
    }

    #[test]
    fn a_base_image_without_value_says_which_argument_is_missing() {
        for (text, expected) in [
            (
                "ARG VERSION\nFROM node:$VERSION\n",
                "`ARG VERSION` has no default, and no build-time variable VERSION is set",
            ),
            (
                "FROM node:$VERSION\n",
                "VERSION is used in FROM, but no `ARG VERSION` stands before the first FROM",
            ),
        ] {
            let BuildFault::DockerfileInvalid { message, .. } = run(text, &[], None).unwrap_err() else {
                panic!("not refused");
            };
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn another_platform_is_refused() {
        let BuildFault::Unsupported { reason, .. } =
            run("FROM --platform=linux/arm64 a\n", &[], None).unwrap_err()
        else {
            panic!("not refused");
        };
        assert_eq!(reason, "this node runs linux/amd64");
        assert!(run("FROM --platform=$BUILDPLATFORM a\n", &[], None).is_ok());
    }

    #[test]
    fn context_sources_have_their_variables_replaced() {
        let text = "FROM a\nARG DIR=src\nENV OUT=$DIR/out\nCOPY $OUT/x $UNKNOWN_OF_BASE /y\nCOPY ${OUT} /z\n";
        let plan = run(text, &[], None).unwrap();
        let sources: Vec<_> = plan
            .context_uses
            .iter()
            .map(|u| (u.line, u.sources.clone()))
            .collect();
        assert_eq!(sources, [(5, vec!["src/out".to_owned()])]);
    }
}

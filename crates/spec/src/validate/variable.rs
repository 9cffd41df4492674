//! Rules about environment variables.

use super::{Findings, format};
use crate::{
    error::{Problem, SpecError},
    model::Variable,
};

pub(super) fn check(variables: &[Variable], at: &str, findings: &mut Findings) {
    for (index, variable) in variables.iter().enumerate() {
        let path = format!("{at}[{index}]");
        findings.required(format!("{path}.key"), &variable.key);
        let rule = "must be letters, digits and `_`, not beginning with a digit";
        findings.shape(
            format!("{path}.key"),
            &variable.key,
            format::is_variable_key,
            rule,
        );
        if variable.value.reveal().contains('\0') {
            findings.add(SpecError::new(
                format!("{path}.value"),
                Problem::Malformed,
                "must not hold a NUL character",
            ));
        }
        if variable.value.is_encrypted() && !variable.is_secret() {
            let rule = "holds an encrypted secret, so the variable must be one";
            findings.add(
                SpecError::new(format!("{path}.type"), Problem::Conflict, rule)
                    .suggestion("set `type: SECRET`"),
            );
        }
        let earlier = variables[..index].iter().any(|other| overlap(other, variable));
        if earlier && !variable.key.is_empty() {
            let rule = "the variable is given twice for the same scope";
            findings
                .add(SpecError::new(format!("{path}.key"), Problem::NotUnique, rule).value(&variable.key));
        }
    }
}

fn overlap(left: &Variable, right: &Variable) -> bool {
    let (a, b) = (left.scope(), right.scope());
    left.key == right.key && ((a.at_run() && b.at_run()) || (a.at_build() && b.at_build()))
}

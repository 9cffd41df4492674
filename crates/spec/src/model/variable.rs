//! Environment variables.

use super::Sensitive;
use crate::decode::{choice, object};

object! {
    /// One environment variable of an app or a component.
    "an environment variable": pub struct Variable {
        pub key: String,
        /// May hold `${…}` references.
        pub value: Sensitive,
        pub scope: Option<Scope>,
        pub r#type: Option<VariableType>,
    }
}

choice! {
    /// When a variable is set.
    pub enum Scope {
        Unset = "UNSET",
        RunTime = "RUN_TIME",
        BuildTime = "BUILD_TIME",
        RunAndBuildTime = "RUN_AND_BUILD_TIME",
    }
}

choice! {
    pub enum VariableType {
        General = "GENERAL",
        Secret = "SECRET",
    }
}

impl Scope {
    pub fn at_run(self) -> bool {
        self != Self::BuildTime
    }

    pub fn at_build(self) -> bool {
        self != Self::RunTime
    }
}

impl Variable {
    /// The scope in force: RUN_AND_BUILD_TIME unless another is given.
    pub fn scope(&self) -> Scope {
        match self.scope.unwrap_or_default() {
            Scope::Unset => Scope::RunAndBuildTime,
            scope => scope,
        }
    }

    pub fn is_secret(&self) -> bool {
        self.r#type == Some(VariableType::Secret)
    }
}

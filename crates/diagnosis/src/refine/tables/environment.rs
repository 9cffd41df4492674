//! Variables: whatever the language, the line holds a variable's name and one of a few words.

use super::{Cause, Pattern, Subject, strong, weak};

pub(super) const TABLE: &[Pattern] = &[
    strong(&["${", ".", "}"], Cause::UnresolvedReference, Subject::Reference),
    strong(&["key not found:"], Cause::MissingEnv, Subject::VariableName),
    strong(&["keyerror: '"], Cause::MissingEnv, Subject::VariableName),
    strong(
        &["environment variable", "not found"],
        Cause::MissingEnv,
        Subject::VariableName,
    ),
    strong(
        &["environment variable", "not set"],
        Cause::MissingEnv,
        Subject::VariableName,
    ),
    strong(
        &["environment variable", "missing"],
        Cause::MissingEnv,
        Subject::VariableName,
    ),
    strong(
        &["environment variable", "required"],
        Cause::MissingEnv,
        Subject::VariableName,
    ),
    strong(
        &["environment variable", "undefined"],
        Cause::MissingEnv,
        Subject::VariableName,
    ),
    strong(&["missing", "env"], Cause::MissingEnv, Subject::VariableName),
    strong(&["\"path\": ["], Cause::MissingEnv, Subject::NameBelow),
    strong(&["path: [ '"], Cause::MissingEnv, Subject::VariableName),
    strong(&["field required"], Cause::MissingEnv, Subject::LineBefore),
    strong(&["is not set"], Cause::MissingEnv, Subject::VariableName),
    strong(&["not set"], Cause::MissingEnv, Subject::VariableName),
    strong(&["must be set"], Cause::MissingEnv, Subject::VariableName),
    strong(&["is required"], Cause::MissingEnv, Subject::VariableName),
    strong(&["is missing"], Cause::MissingEnv, Subject::VariableName),
    strong(&["is undefined"], Cause::MissingEnv, Subject::VariableName),
    strong(&["is not defined"], Cause::MissingEnv, Subject::VariableName),
    strong(&["must not be empty"], Cause::MissingEnv, Subject::VariableName),
    strong(&["must be defined"], Cause::MissingEnv, Subject::VariableName),
    strong(&["must be provided"], Cause::MissingEnv, Subject::VariableName),
    weak(&["required"], Cause::MissingEnv, Subject::VariableName),
    weak(&["undefined"], Cause::MissingEnv, Subject::VariableName),
    weak(&["missing"], Cause::MissingEnv, Subject::VariableName),
    weak(&["invalid"], Cause::MissingEnv, Subject::VariableName),
];

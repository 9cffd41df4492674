//! Python's own exceptions, as far as they end a build step (Django's collectstatic, a build script).

use mainstay_diagnosis::Cause;

use super::{
    FindingContext, Found, Scanner,
    text::{after, quoted},
};

/// Remembers whether the traceback passed through the environment: a `KeyError` is then a missing variable.
#[derive(Debug, Default)]
pub(super) struct Python {
    reads_environment: bool,
}

impl Scanner for Python {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        if line.starts_with("Traceback (most recent call last)") {
            self.reads_environment = false;
        } else if line.starts_with("  ") {
            self.reads_environment |= line.contains("environ") || line.contains("config(");
        } else if let Some(name) = line.strip_prefix("KeyError: ") {
            self.key_error(line, name, context, found);
        } else if let Some(message) = after(line, "ModuleNotFoundError: ") {
            let module = quoted(message).unwrap_or_default();
            found.explain(
                "python",
                "ModuleNotFoundError",
                context.module(module),
                line,
                Some(module),
            );
        } else if line.starts_with("SyntaxError:") || line.starts_with("IndentationError:") {
            found.add("python", "SyntaxError", Some(Cause::SyntaxError), line, None);
        } else if line.contains("since poetry.lock was last generated") {
            found.add(
                "poetry",
                "lock",
                Some(Cause::LockfileOutOfStep),
                line,
                Some("poetry.lock"),
            );
        } else if line.contains("Your Pipfile.lock") && line.contains("is out of date") {
            found.add(
                "pipenv",
                "lock",
                Some(Cause::LockfileOutOfStep),
                line,
                Some("Pipfile.lock"),
            );
        } else if let Some(message) = after(line, "UndefinedValueError: ") {
            let name = message.split_whitespace().next();
            found.add(
                "python",
                "UndefinedValueError",
                Some(Cause::MissingBuildEnv),
                line,
                name,
            );
        }
    }
}

impl Python {
    fn key_error(&self, line: &str, name: &str, context: &FindingContext, found: &mut Found) {
        let name = name.trim().trim_matches(['\'', '"']);
        if self.reads_environment && !context.variables.contains(name) {
            found.add(
                "python",
                "KeyError",
                Some(Cause::MissingBuildEnv),
                line,
                Some(name),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn a_missing_variable_is_told_from_any_other_key() {
        let missing = "Traceback (most recent call last):\n  File \"settings.py\", line 3, in <module>\n    KEY = os.environ['SECRET_KEY']\nKeyError: 'SECRET_KEY'\n";
        assert_eq!(
            of(missing, FindingContext::default()),
            ["python KeyError missing_build_env SECRET_KEY"]
        );
        let other =
            "Traceback (most recent call last):\n  File \"a.py\", line 3\n    d['x']\nKeyError: 'x'\n";
        assert!(of(other, FindingContext::default()).is_empty());
    }
}

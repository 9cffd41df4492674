//! Why development dependencies are not there: what was done before the step that misses them.

/// What is known when a step begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    /// Texts of the steps before it, in order.
    pub(crate) steps: &'a [String],
    /// Its own text; empty after all steps.
    pub(crate) step: &'a str,
    /// Where `NODE_ENV` is set to production: "NODE_ENV=production in the spec".
    pub(crate) production: Option<&'a str>,
}

/// Flags with which a package manager leaves them out.
const FLAGS: &[&str] = &[
    "--omit=dev",
    "--omit dev",
    "--only=prod",
    "--only=production",
    "--only prod",
    "--production",
    "--prod",
    "--no-dev",
    "--no-default-groups",
    "--only=main",
    "--without dev",
];

/// The latest reason, in words that follow "because": the last installation decides what is there.
pub(crate) fn why_left_out(before: Before<'_>) -> Option<String> {
    // Quotes change nothing about which flag it is.
    let unquoted = |step: &str| step.replace(['\'', '"'], "");
    let steps: Vec<String> = before.steps.iter().map(|step| unquoted(step)).collect();
    why(Before {
        steps: &steps,
        step: &unquoted(before.step),
        ..before
    })
}

fn why(before: Before<'_>) -> Option<String> {
    let own = by_flag(before.step).map(|command| format!("`{command}` leaves them out"));
    if own.is_some() {
        return own;
    }
    // A step of several commands may install them itself.
    if installs(before.step) {
        return before
            .production
            .map(|place| format!("{place} makes the installation skip them"));
    }
    let last = before
        .steps
        .iter()
        .rev()
        .find(|step| installs(step) || prunes(step))?;
    let when = if before.step.is_empty() {
        "in the build"
    } else {
        "before this step"
    };
    match by_flag(last) {
        Some(command) if prunes(last) => Some(format!("`{command}` removed them {when}")),
        Some(command) => Some(format!("`{command}` left them out {when}")),
        None if last.contains("--include=dev") || last.contains("=false") => None,
        None => before
            .production
            .map(|place| format!("{place} made the installation skip them")),
    }
}

/// The command of a step's text that has such a flag.
fn by_flag(step: &str) -> Option<String> {
    commands(step)
        .find(|command| has_flag(command))
        .map(str::to_owned)
}

fn has_flag(command: &str) -> bool {
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with([' ', ',']);
    FLAGS.iter().any(|flag| {
        command
            .match_indices(flag)
            .any(|(at, _)| is_end(&command[at + flag.len()..]))
    })
}

fn installs(step: &str) -> bool {
    const COMMANDS: &[&str] = &[
        "npm ci",
        "npm i",
        "yarn install",
        "yarn --",
        "pnpm i",
        "bun i",
        "uv sync",
        "poetry install",
        "composer install",
    ];
    commands(step).any(|command| command == "yarn" || COMMANDS.iter().any(|known| command.contains(known)))
}

fn prunes(step: &str) -> bool {
    step.contains(" prune")
        || (step.contains("yarn install") && step.contains("--production") && !step.contains("=false"))
}

fn commands(step: &str) -> impl Iterator<Item = &str> {
    let step = step.strip_prefix("RUN ").unwrap_or(step);
    step.split("&&")
        .flat_map(|part| part.split([';', '|', '\n']))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(steps: &str, step: &str, production: Option<&str>) -> Option<String> {
        let steps: Vec<String> = steps.lines().map(str::to_owned).collect();
        why_left_out(Before {
            steps: &steps,
            step,
            production,
        })
    }

    #[test]
    fn the_last_installation_decides() {
        let spec = Some("NODE_ENV=production in the spec");
        for (steps, step, production, expected) in [
            ("npm ci", "npm run build", None, None),
            (
                "npm ci",
                "npm run build",
                spec,
                Some("NODE_ENV=production in the spec made the installation skip them"),
            ),
            ("npm ci --include=dev", "npm run build", spec, None),
            (
                "npm ci '--include=dev'\nnpm run build\nnpm prune '--omit=dev' --ignore-scripts",
                "npm run build",
                spec,
                Some("`npm prune --omit=dev --ignore-scripts` removed them before this step"),
            ),
            (
                "",
                "npm ci && npm run build",
                spec,
                Some("NODE_ENV=production in the spec makes the installation skip them"),
            ),
            (
                "",
                "RUN npm ci --omit=dev && npm run build",
                None,
                Some("`npm ci --omit=dev` leaves them out"),
            ),
            (
                "RUN yarn install --production",
                "RUN yarn build",
                None,
                Some("`yarn install --production` removed them before this step"),
            ),
            ("yarn install --production=false", "yarn build", spec, None),
            (
                "uv sync --locked --no-default-groups",
                "x",
                None,
                Some("`uv sync --locked --no-default-groups` left them out before this step"),
            ),
            ("", "RUN npm run build", None, None),
            (
                "npm run build\nnpm prune --omit=dev",
                "",
                None,
                Some("`npm prune --omit=dev` removed them in the build"),
            ),
        ] {
            assert_eq!(
                left_out(steps, step, production).as_deref(),
                expected,
                "{steps:?} {step}"
            );
        }
    }
}

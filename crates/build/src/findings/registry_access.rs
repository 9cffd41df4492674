//! Files by which package managers find and enter a registry. One that reads a variable which is not set leaves the registry without an address
//! or a password; what the package manager says then is only what the registry made of that.

use std::collections::BTreeSet;

use mainstay_diagnosis::{
    Cause,
    facts::{Clue, ToolFinding},
};

use super::{FindingContext, Found, Scanner, text::after};
use crate::source::SourceTree;

/// Which tools read which file.
const FILES: &[(&str, &[&str])] = &[
    (".npmrc", &["npm", "yarn", "pnpm", "bun"]),
    (".yarnrc", &["yarn"]),
    (".yarnrc.yml", &["yarn"]),
    ("requirements.txt", &["pip", "uv"]),
];

/// How tools name an answer that credentials decide.
const REFUSED: &[&str] = &[
    "E401",
    "E403",
    "ENEEDAUTH",
    "ERR_PNPM_FETCH_401",
    "ERR_PNPM_FETCH_403",
];
/// How they name one that a registry also gives to whom it does not know.
const HIDDEN: &[&str] = &["E404", "ERR_PNPM_FETCH_404"];
/// What uv and pip print of such an answer, beside naming a package as missing; uv breaks its lines.
const WITHOUT_CREDENTIALS: &[&str] = &[
    "valid authentication credentials",
    "(401 Unauthorized)",
    "(403 Forbidden)",
    "401 Error, Credentials not correct",
];

const HOSTS_MAX: usize = 20;

/// A variable that a file of the source reads to find or enter a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    file: &'static str,
    tools: &'static [&'static str],
    line: usize,
    text: String,
    pub(super) variable: String,
}

impl Reading {
    fn clue(&self) -> Clue {
        Clue::ReadBy {
            file: self.file.to_owned(),
            line: self.line,
        }
    }

    /// An address, not what enters it.
    fn is_address(&self) -> bool {
        self.text.contains("registry") && !self.text.contains("_auth")
    }
}

/// All of a source.
pub(super) fn read(tree: &SourceTree) -> Vec<Reading> {
    let of_file = |(file, tools): &(&'static str, &'static [&'static str])| {
        let text = tree.text(file).unwrap_or_default();
        readings(file, tools, &text)
    };
    let of_uv = tree.text("pyproject.toml").unwrap_or_default();
    FILES.iter().flat_map(of_file).chain(indexes(&of_uv)).collect()
}

fn readings(file: &'static str, tools: &'static [&'static str], text: &str) -> Vec<Reading> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        found.extend(references(line).map(|variable| Reading {
            file,
            tools,
            line: at + 1,
            text: line.to_owned(),
            variable: variable.to_owned(),
        }));
    }
    found
}

/// The names in `${NAME}`; one with a default ("${NAME-x}", "${NAME?}") needs no variable.
fn references(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |name: &&str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_part)
    };
    line.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .filter(is_name)
}

/// `[[tool.uv.index]]` of a name has its password in a variable (<https://docs.astral.sh/uv/concepts/indexes/#authentication>).
fn indexes(project: &str) -> Vec<Reading> {
    let table = project.parse::<toml::Table>().unwrap_or_default();
    let indexes = table
        .get("tool")
        .and_then(|tool| tool.get("uv")?.get("index")?.as_array());
    let reading = |index: &toml::Value| {
        let (name, url) = (index.get("name")?.as_str()?, index.get("url")?.as_str()?);
        let name = name.to_uppercase();
        let name = name.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        let before = project.find(url).map_or("", |at| &project[..at]);
        Some(Reading {
            file: "pyproject.toml",
            tools: &["uv"],
            line: before.matches('\n').count() + 1,
            text: url.to_owned(),
            variable: format!("UV_INDEX_{name}_PASSWORD"),
        })
    };
    indexes.into_iter().flatten().filter_map(reading).collect()
}

/// Tools that name the variable themselves: yarn 1 ("Failed to replace env in config: ${NAME}"; to pnpm that is a warning), and later ones
/// ("Environment variable not found (NAME)").
#[derive(Debug)]
pub(super) struct OwnWords;

impl Scanner for OwnWords {
    fn line(&mut self, line: &str, context: &FindingContext, found: &mut Found) {
        let replaced = after(line, "Failed to replace env in config: ${").filter(|_| !line.contains("WARN"));
        let name = replaced.and_then(|rest| rest.split('}').next());
        let later = || after(line, "Environment variable not found (")?.split(')').next();
        if let Some(name) = name.or_else(later) {
            let mut readings = context.unset_readings();
            let clue = readings
                .find(|reading| reading.variable == name)
                .map(Reading::clue);
            let cause = (Cause::MissingBuildEnv, clue);
            found.explain("yarn", "configuration", cause, line, Some(name));
        }
    }
}

/// What a step's output says of registries.
#[derive(Debug, Default)]
pub(super) struct Registries {
    hosts: BTreeSet<String>,
    asks_for_credentials: bool,
}

impl Registries {
    pub(super) fn line(&mut self, line: &str) {
        self.asks_for_credentials |= WITHOUT_CREDENTIALS.iter().any(|words| line.contains(words));
        for rest in line.split("://").skip(1) {
            let is_end = |character: char| "/ \"'`)(".contains(character);
            let authority = rest.split(is_end).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            if self.hosts.len() < HOSTS_MAX && !host.is_empty() {
                self.hosts.insert(host.to_owned());
            }
        }
    }

    /// Completes the findings that a variable explains which is not set.
    pub(super) fn explain(&self, findings: &mut [ToolFinding], context: &FindingContext) {
        for finding in findings {
            let mut unset = context.unset_readings();
            if let Some(reading) = unset.find(|reading| self.is_explained(finding, reading)) {
                finding.cause = Some(Cause::MissingBuildEnv);
                finding.subject = Some(reading.variable.clone());
                finding.clue = Some(reading.clue());
            }
        }
    }

    fn is_explained(&self, finding: &ToolFinding, reading: &Reading) -> bool {
        let identifier = finding.identifier.as_str();
        let is_known = self.hosts.iter().any(|host| reading.text.contains(host.as_str()));
        // A file's other registries have nothing to do with it.
        let may_be = is_known || self.hosts.is_empty() || !reading.text.contains("//");
        let has_scope = finding
            .subject
            .as_deref()
            .is_some_and(|subject| subject.starts_with('@'));
        let is_missing = finding.cause == Some(Cause::DependencyNotFound);
        let is_unreachable = finding.cause == Some(Cause::DependencyRegistryUnreachable);
        reading.tools.contains(&finding.tool.as_str())
            && (REFUSED.contains(&identifier) && may_be
                || HIDDEN.contains(&identifier) && is_known && has_scope
                || (is_unreachable || identifier == "ERR_INVALID_URL") && reading.is_address()
                || (is_missing || is_unreachable) && self.asks_for_credentials && is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, context::tests::context, tests::of};

    const NPMRC: (&str, &str) = (
        ".npmrc",
        "# ${COMMENT}\n@acme:registry=https://npm.acme.example\n//npm.acme.example/:_authToken=${NPM_TOKEN}\n//a.example/:_password=${SET-}\n",
    );

    fn npmrc() -> FindingContext {
        context(&[NPMRC], None)
    }

    #[test]
    fn a_refusal_names_the_variable_that_is_not_set() {
        let refused = "npm error code E401\nnpm error 401 Unauthorized - GET https://npm.acme.example/@acme%2fui - token required\n";
        assert_eq!(
            of(refused, npmrc()),
            ["npm E401 missing_build_env NPM_TOKEN | read by .npmrc line 3"]
        );
        let hidden = "npm error code E404\nnpm error 404 Not Found - GET https://npm.acme.example/@acme%2fui - Not found\n\
                      npm error 404  '@acme/ui@^1.0.0' is not in this registry.\n";
        assert_eq!(
            of(hidden, npmrc()),
            ["npm E404 missing_build_env NPM_TOKEN | read by .npmrc line 3"]
        );
        let later = hidden.replace(
            "'@acme/ui@^1.0.0' is not in this registry",
            "The requested resource '@acme/ui@^1.0.0' could not be found or you do not have permission to access it",
        );
        assert_eq!(of(&later, npmrc()), of(hidden, npmrc()));
        let pnpm = " ERR_PNPM_FETCH_401  GET https://npm.acme.example/@acme%2Fui: Unauthorized - 401\n";
        assert_eq!(
            of(pnpm, npmrc()),
            ["pnpm ERR_PNPM_FETCH_401 missing_build_env NPM_TOKEN | read by .npmrc line 3"]
        );
        let yarn = "error An unexpected error occurred: \"Failed to replace env in config: ${NPM_TOKEN}\".\n";
        assert_eq!(
            of(yarn, npmrc()),
            ["yarn configuration missing_build_env NPM_TOKEN | read by .npmrc line 3"]
        );
    }

    #[test]
    fn what_is_set_or_belongs_to_another_registry_explains_nothing() {
        let refused = "npm error code E401\nnpm error 401 Unauthorized - GET https://other.example/x - token required\n";
        assert_eq!(of(refused, npmrc()), ["npm E401 dependency_not_found -"]);
        let misspelt = "npm error code E404\nnpm error 404 Not Found - GET https://npm.acme.example/lodahs - Not found\n\
                        npm error 404  'lodahs@^1.0.0' is not in this registry.\n";
        assert_eq!(of(misspelt, npmrc()), ["npm E404 dependency_not_found lodahs"]);
        let mine = "npm error code E401\n";
        assert_eq!(
            of(mine, npmrc().setting("NPM_TOKEN=$(cat token) npm ci")),
            ["npm E401 dependency_not_found -"]
        );
    }

    #[test]
    fn an_address_that_a_variable_gives_is_not_unreachable() {
        let files = [(".npmrc", "registry=${REGISTRY_URL}\n")];
        let output = "npm error code ERR_INVALID_URL\nnpm error Invalid URL\n";
        assert_eq!(
            of(output, context(&files, None)),
            ["npm ERR_INVALID_URL missing_build_env REGISTRY_URL | read by .npmrc line 1"]
        );
    }

    #[test]
    fn indexes_of_python_have_variables_too() {
        let output = "  × No solution found when resolving dependencies:\n  ╰─▶ Because acme was not found in the package registry and you require acme, we\n      \
                      can conclude that your requirements are unsatisfiable.\n\n      hint: An index URL (https://py.acme.example/simple) could not be queried\n      \
                      due to a lack of valid authentication credentials (401 Unauthorized).\n";
        let project = (
            "pyproject.toml",
            "[project]\nname = \"x\"\n\n[[tool.uv.index]]\nname = \"acme-py\"\nurl = \"https://py.acme.example/simple\"\n",
        );
        assert_eq!(
            of(output, context(&[project], None)),
            ["uv no solution missing_build_env UV_INDEX_ACME_PY_PASSWORD | read by pyproject.toml line 6"]
        );
        let requirements = (
            "requirements.txt",
            "--index-url https://ci:${PY_TOKEN}@py.acme.example/simple\nacme\n",
        );
        assert_eq!(
            of(output, context(&[requirements], None)),
            ["uv no solution missing_build_env PY_TOKEN | read by requirements.txt line 1"]
        );
    }
}

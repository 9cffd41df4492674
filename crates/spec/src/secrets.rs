//! Where a spec has secrets, and what of them and of the other variables a newer spec would lose.

use crate::{
    error::{Problem, SpecError},
    model::{AppSpec, ComponentRef, ImageSource, LogDestination, Sensitive, Source, Variable},
};

/// A value that is kept and shown encrypted.
#[derive(Debug)]
pub struct Secret<'a> {
    /// `services[0].envs[1].value`.
    pub path: String,
    /// The component that has it; `None`: the app.
    pub owner: Option<String>,
    /// What it is to its owner, wherever it stands: `envs.TOKEN`.
    pub name: String,
    pub value: &'a mut Sensitive,
}

/// Collects the secrets of one owner.
struct Finder<'a> {
    found: Vec<Secret<'a>>,
}

impl<'a> Finder<'a> {
    fn add(&mut self, owner: Option<&str>, path: String, name: String, value: &'a mut Sensitive) {
        self.found.push(Secret {
            path,
            owner: owner.map(str::to_owned),
            name,
            value,
        });
    }

    fn variables(&mut self, owner: Option<&str>, at: &str, variables: &'a mut [Variable]) {
        for (index, variable) in variables.iter_mut().enumerate() {
            if variable.is_secret() {
                let name = format!("envs.{}", variable.key);
                self.add(
                    owner,
                    format!("{at}envs[{index}].value"),
                    name,
                    &mut variable.value,
                );
            }
        }
    }

    fn image(&mut self, owner: Option<&str>, at: &str, image: Option<&'a mut ImageSource>) {
        if let Some(credentials) = image.and_then(|image| image.registry_credentials.as_mut()) {
            let name = "image.registry_credentials";
            self.add(owner, format!("{at}{name}"), name.to_owned(), credentials);
        }
    }

    fn destinations(&mut self, owner: Option<&str>, at: &str, destinations: &'a mut [LogDestination]) {
        for (index, destination) in destinations.iter_mut().enumerate() {
            let at = format!("{at}log_destinations[{index}]");
            let of = format!("log_destinations.{}", destination.name);
            let datadog = destination
                .datadog
                .as_mut()
                .map(|to| ("datadog.api_key", &mut to.api_key));
            let logtail = destination
                .logtail
                .as_mut()
                .map(|to| ("logtail.token", &mut to.token));
            let search = destination
                .open_search
                .as_mut()
                .and_then(|to| to.basic_auth.as_mut());
            let search = search.map(|auth| ("open_search.basic_auth.password", &mut auth.password));
            for (field, value) in [datadog, logtail, search].into_iter().flatten() {
                self.add(owner, format!("{at}.{field}"), format!("{of}.{field}"), value);
            }
            for (index, header) in destination.headers.iter_mut().enumerate() {
                let name = format!("{of}.headers.{}", header.key);
                self.add(
                    owner,
                    format!("{at}.headers[{index}].value"),
                    name,
                    &mut header.value,
                );
            }
        }
    }
}

impl AppSpec {
    /// Every value that is kept and shown encrypted, empty ones included.
    pub fn secrets_mut(&mut self) -> Vec<Secret<'_>> {
        let mut finder = Finder { found: Vec::new() };
        finder.variables(None, "", &mut self.envs);
        macro_rules! each {
            ($list:ident, |$component:ident, $owner:ident, $at:ident| $more:block) => {
                for (index, $component) in self.$list.iter_mut().enumerate() {
                    let ($owner, $at) = (
                        $component.name.clone(),
                        format!("{}[{index}].", stringify!($list)),
                    );
                    let $owner = Some($owner.as_str());
                    finder.variables($owner, &$at, &mut $component.envs);
                    $more
                }
            };
        }
        each!(services, |service, owner, at| {
            finder.image(owner, &at, service.image.as_mut());
            finder.destinations(owner, &at, &mut service.log_destinations);
        });
        each!(workers, |worker, owner, at| {
            finder.image(owner, &at, worker.image.as_mut());
            finder.destinations(owner, &at, &mut worker.log_destinations);
        });
        each!(jobs, |job, owner, at| {
            finder.image(owner, &at, job.image.as_mut());
            finder.destinations(owner, &at, &mut job.log_destinations);
        });
        each!(static_sites, |_site, _owner, _at| {});
        each!(functions, |functions, owner, at| {
            finder.destinations(owner, &at, &mut functions.log_destinations);
        });
        finder.found
    }
}

/// What `before` has and `after` lacks, because a spec replaces the one before as a whole: variables by name, and secrets that would become
/// empty. What goes with its component, or moved between app and component, is not lost.
pub fn losses(before: &AppSpec, after: &AppSpec) -> Vec<SpecError> {
    let mut lost = Vec::new();
    let given_anywhere = |key: &str| {
        let of_components = after.components().flat_map(ComponentRef::variables);
        of_components
            .chain(&after.envs)
            .any(|variable| variable.key == key)
    };
    for variable in before
        .envs
        .iter()
        .filter(|variable| !given_anywhere(&variable.key))
    {
        lost.push(dropped("envs", &variable.key));
    }
    lost.extend(wiped(&before.envs, &after.envs, "envs"));
    for (at, now) in after.components_with_paths() {
        let Some(then) = before
            .component(now.name())
            .filter(|then| then.kind() == now.kind())
        else {
            continue;
        };
        let at_variables = format!("{at}.envs");
        let is_given = |key: &str| {
            now.variables()
                .iter()
                .chain(&after.envs)
                .any(|variable| variable.key == key)
        };
        for variable in then
            .variables()
            .iter()
            .filter(|variable| !is_given(&variable.key))
        {
            lost.push(dropped(&at_variables, &variable.key));
        }
        lost.extend(wiped(then.variables(), now.variables(), &at_variables));
        if loses_credentials(then, now) {
            let rule =
                "is missing: the app's spec has credentials for this registry, and they would be removed";
            lost.push(lost_at(
                format!("{at}.image.registry_credentials"),
                rule.to_owned(),
            ));
        }
    }
    lost
}

fn dropped(at: &str, key: &str) -> SpecError {
    lost_at(
        at,
        format!("lacks `{key}`, which the app's spec has: the variable would be removed"),
    )
}

fn wiped(before: &[Variable], after: &[Variable], at: &str) -> Vec<SpecError> {
    let had = |key: &str| {
        let of_key = |variable: &&Variable| variable.key == key && variable.is_secret();
        before
            .iter()
            .filter(of_key)
            .any(|variable| !variable.value.reveal().is_empty())
    };
    let emptied = after
        .iter()
        .enumerate()
        .filter(|(_, variable)| variable.value.reveal().is_empty() && had(&variable.key));
    emptied
        .map(|(index, variable)| {
            let rule = format!("is empty: the secret `{}` would be wiped", variable.key);
            lost_at(format!("{at}[{index}].value"), rule)
        })
        .collect()
}

fn loses_credentials(then: ComponentRef<'_>, now: ComponentRef<'_>) -> bool {
    let (Some(Source::Image(then)), Some(Source::Image(now))) = (then.source(), now.source()) else {
        return false;
    };
    let has = |image: &ImageSource| {
        image
            .registry_credentials
            .as_ref()
            .is_some_and(|given| !given.reveal().is_empty())
    };
    has(then) && !has(now) && (then.registry_type, &then.registry) == (now.registry_type, &now.registry)
}

fn lost_at(path: impl Into<String>, rule: String) -> SpecError {
    SpecError::new(path, Problem::Lost, rule)
        .suggestion("take it from the app's own spec, where secrets stand as `EV[…]`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, parse};

    fn spec(text: &str) -> AppSpec {
        let text = format!("name: shop\n{text}");
        parse(&text, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec
    }

    const IMAGE: &str =
        "image: {registry_type: GHCR, registry: team, repository: web, registry_credentials: 'me:token'}";

    #[test]
    fn every_secret_has_its_path_its_owner_and_its_name() {
        let mut spec = spec(&format!(
            "
envs: [{{key: A, value: x}}, {{key: B, value: y, type: SECRET}}]
services: [{{name: web, {IMAGE}, envs: [{{key: C, value: z, type: SECRET}}],
  log_destinations: [{{name: out, endpoint: 'https://h', headers: [{{key: k, value: v}}]}}, {{name: dog, datadog: {{api_key: k}}}}]}}]
static_sites: [{{name: site, git: {{repo_clone_url: 'https://h/a'}}, envs: [{{key: D, type: SECRET}}]}}]
"
        ));
        let found = spec.secrets_mut();
        let found: Vec<_> = found
            .iter()
            .map(|secret| {
                (
                    secret.path.as_str(),
                    secret.owner.as_deref(),
                    secret.name.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("envs[1].value", None, "envs.B"),
                ("services[0].envs[0].value", Some("web"), "envs.C"),
                (
                    "services[0].image.registry_credentials",
                    Some("web"),
                    "image.registry_credentials"
                ),
                (
                    "services[0].log_destinations[0].headers[0].value",
                    Some("web"),
                    "log_destinations.out.headers.k"
                ),
                (
                    "services[0].log_destinations[1].datadog.api_key",
                    Some("web"),
                    "log_destinations.dog.datadog.api_key"
                ),
                ("static_sites[0].envs[0].value", Some("site"), "envs.D"),
            ]
        );
    }

    fn lost(before: &str, after: &str) -> Vec<String> {
        losses(&spec(before), &spec(after))
            .into_iter()
            .map(|error| error.path)
            .collect()
    }

    #[test]
    fn variables_that_vanish_are_named() {
        let before = format!(
            "envs: [{{key: A, value: x}}]\nworkers: [{{name: work, {IMAGE}, envs: [{{key: B, value: y}}, {{key: C, value: z}}]}}]"
        );
        let after = format!("workers: [{{name: work, {IMAGE}, envs: [{{key: C, value: other}}]}}]");
        let errors = losses(&spec(&before), &spec(&after));
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["envs", "workers[0].envs"]);
        assert!(errors[1].rule.contains("`B`"), "{}", errors[1]);
        assert!(errors.iter().all(|error| error.problem == Problem::Lost));
    }

    #[test]
    fn wiped_secrets_and_credentials_are_named() {
        let before = format!(
            "workers: [{{name: work, {IMAGE}, envs: [{{key: A, value: x, type: SECRET}}, {{key: B, value: x}}]}}]"
        );
        let after = "workers: [{name: work, image: {registry_type: GHCR, registry: team, repository: web}, envs: [{key: A, type: SECRET}, {key: B}]}]";
        assert_eq!(
            lost(&before, after),
            [
                "workers[0].envs[0].value",
                "workers[0].image.registry_credentials"
            ]
        );
    }

    #[test]
    fn what_moves_or_goes_with_its_component_is_not_lost() {
        let before = format!(
            "envs: [{{key: A, value: x}}]\nworkers: [{{name: work, {IMAGE}, envs: [{{key: B, value: y}}]}}, {{name: gone, {IMAGE}, envs: [{{key: Z, value: y}}]}}]"
        );
        let after = format!(
            "envs: [{{key: B, value: y}}]\nworkers: [{{name: work, {IMAGE}, envs: [{{key: A, value: x}}]}}]"
        );
        assert_eq!(lost(&before, &after), [""; 0]);
    }
}

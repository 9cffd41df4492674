//! The wire form: every field is known, nothing is added, nothing is lost, in JSON and in YAML.

use mainstay_spec::{
    AppSpec, Format, GitSource, HealthCheck, RepositorySource, Route, Scope, Service, StaticSite, Variable,
    VariableType, Worker, parse,
};
use proptest::{collection::vec, option, prelude::*};

#[test]
fn everything_comes_back_as_it_was_written() {
    let text = include_str!("fixtures/everything.json");
    let parsed = parse(text, Format::Json).unwrap_or_else(|errors| panic!("{errors}"));
    let written: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&parsed.spec).unwrap(), written);
    assert_eq!(serde_json::from_value::<AppSpec>(written).unwrap(), parsed.spec);
    assert_eq!(
        parse(&parsed.spec.to_yaml(), Format::Yaml).unwrap().spec,
        parsed.spec
    );
}

#[test]
fn a_spec_below_a_spec_key_is_read() {
    let text = "spec:\n  name: shop\n  services:\n  - name: web\n    github: {repo: team/shop}\n";
    assert_eq!(parse(text, Format::Auto).unwrap().spec.name, "shop");
}

#[test]
fn one_component_in_place_of_a_list_is_read_with_a_warning() {
    let text = "name: shop\nservices:\n  name: web\n  github: {repo: team/shop}\n";
    let parsed = parse(text, Format::Auto).unwrap();
    assert_eq!(parsed.spec.services[0].name, "web");
    assert_eq!(
        (parsed.warnings[0].path.as_str(), parsed.warnings[0].line),
        ("services", Some(2))
    );
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "name: shop\nservices:\n- &base\n  name: web\n  github: {repo: team/shop}\n- <<: *base\n  name: api\n  routes: [{path: /api}]\n";
    let spec = parse(text, Format::Yaml)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .spec;
    assert_eq!(
        (spec.services[1].name.as_str(), spec.services[1].github.as_ref()),
        ("api", spec.services[0].github.as_ref())
    );
}

#[test]
fn json_with_tabs_escapes_and_surrogates_is_read() {
    let text = "{\n\t\"name\": \"shop\",\n\t\"workers\": [\n\t\t{\"name\":\"w\\u0061\",\"github\":{\"repo\":\"team\\/shop\"},\"envs\":[{\"key\":\"A\",\"value\":\"\\ud83d\\ude00\\n\\\"\"}]}\n\t]\n}";
    let spec = parse(text, Format::Json)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .spec;
    assert_eq!(spec.workers[0].name, "wa");
    assert_eq!(spec.workers[0].envs[0].value.reveal(), "😀\n\"");
}

fn variables() -> impl Strategy<Value = Vec<Variable>> {
    let scope = option::of(prop::sample::select(vec![
        Scope::RunTime,
        Scope::BuildTime,
        Scope::RunAndBuildTime,
    ]));
    let kind = option::of(prop::sample::select(vec![
        VariableType::General,
        VariableType::Secret,
    ]));
    vec(("[^\\x00]{0,12}", scope, kind), 0..4).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(n, (value, scope, kind))| Variable {
                key: format!("K{n}"),
                value: value.into(),
                scope,
                r#type: kind,
            })
            .collect()
    })
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of("[ -~äß\n\t]{0,20}").prop_map(|text| text.filter(|text| !text.is_empty()))
}

prop_compose! {
    fn service()(
        envs in variables(),
        run_command in text(),
        build_command in text(),
        http_port in option::of(1_u16..),
        period_seconds in option::of(1_u32..=300),
        preserve_path_prefix: bool,
    ) -> Service {
        let health_check = period_seconds.map(|period| HealthCheck { period_seconds: Some(period), ..Default::default() });
        let git = GitSource { repo_clone_url: "https://example.com/a.git".into(), branch: Some("main".into()) };
        let routes = vec![Route { path: Some("/".into()), preserve_path_prefix }];
        Service { git: Some(git), envs, run_command, build_command, http_port, health_check, routes, ..Default::default() }
    }
}

prop_compose! {
    fn app()(
        mut services in vec(service(), 0..3),
        mut workers in vec((variables(), text()), 1..3),
        envs in variables(),
        output_dir in option::of("[a-z/]{1,8}"),
    ) -> AppSpec {
        for (n, service) in services.iter_mut().enumerate() {
            service.name = format!("service-{n}");
            service.routes[0].path = Some(format!("/{n}"));
        }
        let github = RepositorySource { repo: "team/shop".into(), deploy_on_push: true, ..Default::default() };
        let workers = workers.drain(..).enumerate().map(|(n, (envs, run_command))| {
            Worker { name: format!("worker-{n}"), github: Some(github.clone()), envs, run_command, ..Default::default() }
        }).collect();
        let site = StaticSite { name: "docs".into(), github: Some(github.clone()), output_dir, ..Default::default() };
        AppSpec { name: "shop".into(), services, workers, static_sites: vec![site], envs, ..Default::default() }
    }
}

proptest! {
    #[test]
    fn specs_survive_json(spec in app()) {
        let text = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(&parse(&text, Format::Json).map_err(|e| TestCaseError::fail(e.to_string()))?.spec, &spec);
        prop_assert_eq!(serde_json::from_str::<AppSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn specs_survive_yaml(spec in app()) {
        let text = spec.to_yaml();
        prop_assert_eq!(parse(&text, Format::Yaml).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?.spec, spec);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z:\\-{}\\[\\]&*!|>'\"#%@, \n0-9?]{0,200}") {
        _ = parse(&text, Format::Auto);
    }
}

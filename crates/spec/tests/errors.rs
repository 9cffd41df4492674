//! What people see when a spec is refused: golden files.

use mainstay_spec::{AppSpec, Format, parse, render_errors, render_warnings, unsupported};

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_error_of_a_broken_spec_is_told_at_once() {
    let errors = parse(include_str!("fixtures/broken.yaml"), Format::Yaml).unwrap_err();
    golden("broken_spec", &render_errors(errors.as_slice(), "app.yaml"));
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let parsed =
        parse(include_str!("fixtures/everything.json"), Format::Json).unwrap_or_else(|e| panic!("{e}"));
    let refused = parsed.located(unsupported(&parsed.spec));
    golden("unsupported", &render_errors(&refused, "app.json"));
}

#[test]
fn what_has_no_effect_is_said() {
    let parsed =
        parse(include_str!("fixtures/everything.json"), Format::Auto).unwrap_or_else(|e| panic!("{e}"));
    golden("warnings", &render_warnings(&parsed.warnings, "app.json"));
}

#[test]
fn texts_that_are_no_spec() {
    let texts = [
        "",
        "# only a comment",
        "just text",
        "- a\n- b",
        "name: [",
        "{\"name\": \"x\",}",
        "name: a\n\tb: c",
        "name: a\n---\nname: b",
        "name: *nobody",
        "name: !secret x",
        "name: x\n? [a, b]\n: c",
        "name: a\nname: b\n",
        "spec:\n  name: shop\n",
    ];
    let told = texts.map(|text| match parse(text, Format::Auto) {
        Ok(_) => panic!("accepted: {text}"),
        Err(errors) => format!("{text:?}\n{}", render_errors(errors.as_slice(), "app.yaml")),
    });
    golden("no_spec", &told.join("\n"));
}

#[test]
fn references_to_nobody_are_warned_about() {
    let text = "name: shop\nservices:\n- name: api\n  git: {repo_clone_url: https://example.com/a.git}\n  envs:\n  - {key: A, value: '${ap.PRIVATE_URL} ${api.PRIVATE_URL} ${_self.X} ${db.pool.PORT} ${HOME}'}\n";
    let parsed = parse(text, Format::Yaml).unwrap_or_else(|e| panic!("{e}"));
    golden(
        "dangling_references",
        &render_warnings(&parsed.warnings, "app.yaml"),
    );
}

#[test]
fn errors_on_the_wire_have_their_documented_fields() {
    let errors = parse("name: shop\nservices: [{name: web, http_port: x}]", Format::Yaml).unwrap_err();
    golden("wire", &serde_json::to_string_pretty(&errors).unwrap());
}

#[test]
fn a_valid_plain_spec_has_no_remarks() {
    let text = "name: shop\nservices:\n- name: web\n  git: {repo_clone_url: https://example.com/a.git}\n";
    let parsed = parse(text, Format::Auto).unwrap_or_else(|e| panic!("{e}"));
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    assert!(unsupported(&parsed.spec).is_empty());
    assert_eq!(
        parsed.spec,
        serde_json::from_value::<AppSpec>(serde_json::to_value(&parsed.spec).unwrap()).unwrap()
    );
}

#[test]
fn names_that_postgresql_has_for_itself_are_refused_where_it_is_ours() {
    let refused = |fields: &str| {
        let spec = format!(
            "name: shop\nworkers: [{{name: work, git: {{repo_clone_url: 'https://h/a'}}}}]\ndatabases: [{{{fields}}}]"
        );
        let parsed = parse(&spec, Format::Yaml);
        let errors = parsed.err().map(|errors| errors.as_slice().to_vec());
        let paths = errors.unwrap_or_default().into_iter().map(|error| error.path);
        paths.collect::<Vec<_>>()
    };
    for name in ["postgres", "template0", "template1"] {
        let fields = format!("name: db, engine: PG, db_name: {name}");
        assert_eq!(refused(&fields), ["databases[0].db_name"], "{name}");
    }
    assert_eq!(
        refused("name: db, engine: PG, db_user: pg_monitor"),
        ["databases[0].db_user"]
    );
    // The names that a database gets when nothing else is said.
    assert_eq!(
        refused("name: postgres, engine: PG"),
        ["databases[0].db_user", "databases[0].db_name"]
    );
    assert_eq!(
        refused("name: postgres, engine: PG, db_name: shop, db_user: shop"),
        [""; 0]
    );
    let attached = "name: db, engine: PG, production: true, cluster_name: main, db_name: postgres";
    assert_eq!(refused(attached), [""; 0]);
    assert_eq!(refused("name: postgres, engine: REDIS, db_name: '3'"), [""; 0]);
    assert_eq!(
        refused("name: mysql, engine: MYSQL"),
        ["databases[0].db_user", "databases[0].db_name"]
    );
    assert_eq!(
        refused("name: db, engine: MYSQL, db_user: root"),
        ["databases[0].db_user"]
    );
    for name in ["shop", "16", "-1", "03"] {
        let fields = format!("name: cache, engine: REDIS, db_name: '{name}'");
        assert_eq!(refused(&fields), ["databases[0].db_name"], "{name}");
    }
    for user in ["mainstay", "a b", "a#b"] {
        let fields = format!("name: cache, engine: REDIS, db_user: '{user}'");
        assert_eq!(refused(&fields), ["databases[0].db_user"], "{user}");
    }
}

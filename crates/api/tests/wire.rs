//! The shape of the wire, as clients meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use mainstay_api::{
    App, AppResponse, AppsResponse, CauseDetails, CauseType, Deployment, DeploymentComponent,
    DeploymentResponse, EvidenceItem, Phase, Progress, Reason, Step, StepStatus, UserAction, UserActionName,
};
use mainstay_diagnosis::{Evidence, NextStep, facts::Changes};
use mainstay_spec::{Format, parse};

fn golden<T: serde::Serialize>(name: &str, value: &T) {
    let text = serde_json::to_string_pretty(value).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn step(name: &str, status: StepStatus, steps: Vec<Step>) -> Step {
    Step {
        name: name.into(),
        status,
        steps,
        ..Step::default()
    }
}

fn of_component(step: Step, message_base: &str) -> Step {
    Step {
        component_name: "web".into(),
        message_base: message_base.into(),
        ..step
    }
}

fn reason() -> Reason {
    Reason {
        code: "ContainerExitNonZero".into(),
        message: "web exited with code 3 two seconds after its start".into(),
        cause: "exited".into(),
        component: "web".into(),
        evidence: vec![EvidenceItem::Known(Box::new(Evidence::Changes(Changes {
            since: None,
            sentences: vec!["PORT was removed".into()],
        })))],
        next_steps: vec![NextStep::new("Read its last lines").with_command("mainstay logs web")],
        ..Reason::default()
    }
}

fn failed_deployment() -> Deployment {
    let spec = "name: shop\nservices: [{name: web, git: {repo_clone_url: /srv/shop}}]";
    let wait = Step {
        reason: Some(reason()),
        ..of_component(step("wait", StepStatus::Error, vec![]), "Waiting for service")
    };
    let deploy = of_component(step("deploy", StepStatus::Success, vec![]), "Deploying service");
    let web = Step {
        component_name: "web".into(),
        ..step("web", StepStatus::Error, vec![deploy, wait])
    };
    let steps = vec![
        step("components", StepStatus::Error, vec![web]),
        step("finalize", StepStatus::Pending, vec![]),
    ];
    let action = UserAction {
        name: UserActionName::UpdateSpec,
        user: None,
    };
    Deployment {
        id: "3aa4d20e-5527-4c00-b496-601fbd22520a".into(),
        spec: parse(spec, Format::Yaml).unwrap().spec,
        phase: Phase::Error,
        created_at: Some("2026-11-22T17:00:00.25Z".parse().unwrap()),
        cause: "app spec updated".into(),
        cause_details: Some(CauseDetails {
            r#type: CauseType::Manual,
            digitalocean_user_action: Some(action),
            ..CauseDetails::default()
        }),
        progress: Some(Progress::of(vec![step("deploy", StepStatus::Error, steps)])),
        services: vec![DeploymentComponent {
            name: "web".into(),
            source_commit_hash: "9a4df0b8".into(),
            ..DeploymentComponent::default()
        }],
        reason: Some(reason()),
        rolled_back_by: "b6bdf840-2854-4f87-a36c-5f231c617c84".into(),
        ..Deployment::default()
    }
}

#[test]
fn a_failed_deployment() {
    let response = DeploymentResponse {
        deployment: failed_deployment(),
    };
    golden("failed_deployment", &response);
    let text = serde_json::to_string(&response).unwrap();
    assert_eq!(
        serde_json::from_str::<DeploymentResponse>(&text).unwrap(),
        response
    );
}

#[test]
fn an_app_that_waits_for_its_first_deployment() {
    let pending = Deployment {
        phase: Phase::PendingBuild,
        ..failed_deployment()
    };
    let app = App {
        id: "a".into(),
        spec: pending.spec.clone(),
        pending_deployment: Some(pending),
        ..App::default()
    };
    let value = serde_json::to_value(AppResponse {
        app,
        deployment_id: String::new(),
        warnings: vec![],
    })
    .unwrap();
    assert_eq!(value["app"]["pending_deployment"]["phase"], "PENDING_BUILD");
    assert_eq!(value["app"].get("live_url"), None, "zero values are left out");
    assert_eq!(value.get("warnings"), None);
}

#[test]
fn an_empty_list_is_still_a_list() {
    let text = serde_json::to_string(&AppsResponse::default()).unwrap();
    assert_eq!(text, r#"{"apps":[],"links":{},"meta":{"total":0}}"#);
    assert_eq!(
        serde_json::from_str::<AppsResponse>("{}").unwrap(),
        AppsResponse::default()
    );
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let app: App = serde_json::from_str(r#"{"id":"a","hovercraft":{"eels":1}}"#).unwrap();
    assert_eq!(app.id, "a");
}

//! Running the suite: several faults at once, each on an app that serves already, then those that want the machine for themselves.

use std::{
    any::Any,
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Fault,
    check::{self, Got},
    told::{self, Delay},
};
use crate::{Deployment, Folder, Make, Nature, OutsideServer, PASSWORD, Platform, Visiting, wait_until};

/// Faults wait more than they work: probes have periods, restarts have pauses.
const LANES: usize = 6;
/// Their builds take what a build may have: no more of them than are built at once.
const LANES_TIGHT: usize = 2;
/// Limits of a build that a fault reaches within seconds, and of all apps together. Room to build for all lanes and one more, so that only an
/// app's own builds wait for each other.
pub const TIGHT_LIMITS: &str = "[build]\nmemory_bytes = 268435456\npids = 64\ndisk_bytes = 268435456\ntime_seconds = 20\nat_once = 3\nat_once_per_app = 1\n\
     [databases]\ndisk_bytes = 536870912\n[limits]\ninstances = 20\ndatabases = 4\n[capacity]\nmemory_bytes = 8589934592\nwait_seconds = 2\n";
const GREETING: &str = "the version before";
const SERVE_PAGES: &str = r#"["httpd", "-f", "-p", "8080", "-h", "/pages"]"#;
const VISITS_PER_SECOND: f64 = 5.0;
/// A build that waits waits for others.
const PASSES_WITHIN: Duration = Duration::from_mins(5);
const FALLS_WITHIN: Duration = Duration::from_mins(1);
/// Retired instances go in the background.
const TIDY_WITHIN: Duration = Duration::from_secs(30);

/// How one fault went.
#[derive(Debug)]
pub struct Outcome {
    pub fault: Fault,
    pub got: Option<Got>,
    pub delay: Option<Delay>,
    pub took: Duration,
    /// Everything that is otherwise than it must be.
    pub differences: Vec<String>,
}

/// An app that faults are deployed to one after the other, while visitors come.
struct Lane<'a> {
    platform: &'a Platform,
    name: String,
    visiting: Option<Visiting>,
    /// Deployments that failed, to be read again at the end.
    past: Vec<(Fault, String)>,
}

/// Deploys all faults; `tell` hears of each as it ends. Those that reach the limits of a build have a platform of their own, with small ones;
/// what breaks the platform itself has one each, after all others: they share its programs.
pub fn run(platform: &Platform, faults: &[Fault], tell: &(dyn Fn(&Outcome) + Sync)) -> Vec<Outcome> {
    let (breaking, others): (Vec<Fault>, Vec<Fault>) = faults
        .iter()
        .cloned()
        .partition(|fault| fault.expect.broken.is_some());
    let (narrow, others): (Vec<Fault>, Vec<Fault>) =
        others.into_iter().partition(|fault| fault.expect.narrow);
    let (tight, usual): (Vec<Fault>, Vec<Fault>) = others.into_iter().partition(|fault| fault.expect.tight);
    let mut outcomes = run_on(platform, usual, LANES, tell);
    if !tight.is_empty() {
        let platform = platform.beside(TIGHT_LIMITS);
        outcomes.extend(run_on(&platform, tight, LANES_TIGHT, tell));
    }
    if !narrow.is_empty() {
        // Both apps that it has addresses for: one of the lane, one for a fault that wants its own.
        let platform = platform.beside_with_few_addresses("");
        outcomes.extend(run_on(&platform, narrow, 1, tell));
    }
    for fault in breaking {
        let platform = platform.beside("");
        outcomes.extend(run_on(&platform, vec![fault], 1, tell));
    }
    outcomes
}

fn run_on(
    platform: &Platform,
    faults: Vec<Fault>,
    lanes: usize,
    tell: &(dyn Fn(&Outcome) + Sync),
) -> Vec<Outcome> {
    let (alone, together): (Vec<Fault>, Vec<Fault>) =
        faults.into_iter().partition(|fault| fault.expect.exclusive);
    let registry = platform.start_registry();
    let _refusing = platform.start_refusing_registries();
    registry.push_busybox("library/alpine:latest", &[], "sh");
    let pages = [("pages/index.html", GREETING)];
    registry.push_busybox("library/hello:latest", &pages, SERVE_PAGES);
    let wanted: BTreeSet<Nature> = together
        .iter()
        .chain(&alone)
        .flat_map(|fault| fault.expect.clusters.clone())
        .collect();
    let _servers: Vec<OutsideServer> = wanted
        .into_iter()
        .zip(0..)
        .map(|(nature, link)| outside(platform, nature, link))
        .collect();
    let lanes = lanes.min(together.len());
    let queue = Mutex::new(VecDeque::from(together));
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..lanes {
            let (queue, outcomes) = (&queue, &outcomes);
            scope.spawn(move || {
                let name = format!("lane-{number}");
                let done = work_off(platform, &name, queue, tell);
                lock(outcomes).extend(done);
            });
        }
    });
    let queue = Mutex::new(VecDeque::from(alone));
    let mut all = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !lock(&queue).is_empty() {
        all.extend(work_off(platform, "lane-alone", &queue, tell));
    }
    all
}

/// A server that is not the platform's, registered by the name of its nature.
fn outside(platform: &Platform, nature: Nature, link: u8) -> OutsideServer {
    let server = platform.start_outside_server(link, Make::Postgres(nature));
    // Not all of them let anybody in.
    let registered = platform.register(nature.name(), &server, PASSWORD, &["--unchecked", "--replace"]);
    let _ = registered.expect_success("mainstay databases register");
    server
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes faults from the queue until it is empty. What is wrong with the lane itself is an outcome of the last fault.
fn work_off(
    platform: &Platform,
    name: &str,
    queue: &Mutex<VecDeque<Fault>>,
    tell: &(dyn Fn(&Outcome) + Sync),
) -> Vec<Outcome> {
    let mut lane = Lane {
        platform,
        name: name.to_owned(),
        visiting: None,
        past: Vec::new(),
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    loop {
        let Some(fault) = lock(queue).pop_front() else {
            break;
        };
        let outcome = lane.attempt(fault);
        tell(&outcome);
        outcomes.push(outcome);
    }
    let complaints =
        catch_unwind(AssertUnwindSafe(|| lane.close())).unwrap_or_else(|panic| vec![complaint(&*panic)]);
    if let Some(last) = outcomes.last_mut().filter(|_| !complaints.is_empty()) {
        last.differences.extend(complaints);
        tell(last);
    }
    outcomes
}

impl Lane<'_> {
    fn attempt(&mut self, fault: Fault) -> Outcome {
        let began = Instant::now();
        let mut outcome = Outcome {
            got: None,
            delay: None,
            took: Duration::ZERO,
            differences: Vec::new(),
            fault,
        };
        let done = catch_unwind(AssertUnwindSafe(|| match &outcome.fault {
            fault if fault.expect.refused => self.be_refused(&mut outcome),
            fault if fault.needs_own_app() => self.on_its_own(&mut outcome),
            _ => self.in_turn(&mut outcome),
        }));
        if let Err(panic) = done {
            outcome.differences.push(complaint(&*panic));
        }
        outcome.took = began.elapsed();
        outcome
    }

    /// As a new version of the lane's app.
    fn in_turn(&mut self, outcome: &mut Outcome) {
        if self.visiting.is_none() {
            self.platform.create_or_update(&version_before(&self.name));
            self.visiting = Some(self.platform.visitors(&self.name, VISITS_PER_SECOND));
        }
        let name = self.name.clone();
        let deployment = self.fail(outcome, &name, Some(GREETING));
        self.past
            .push((outcome.fault.clone(), deployment.id().to_owned()));
    }

    /// Deploys what has to fail to an app that serves.
    fn fail(&self, outcome: &mut Outcome, app: &str, words: Option<&str>) -> Deployment {
        let platform = self.platform;
        let before = platform.instances(app);
        let id = platform.app_id(app);
        let folder = outcome.fault.folder(app);
        let deployment = platform.deploy_directory(folder.path());
        let expect = &outcome.fault.expect;
        outcome.got = Some(Got::of(&deployment));
        outcome.delay = told::delay(&deployment, &platform.server_log());
        let differences = &mut outcome.differences;
        differences.extend(check::failure(expect, &deployment));
        differences.extend(check::readable(platform, expect, app, deployment.id()));
        differences.extend(check::serving(platform, app, words));
        let mut left = Vec::new();
        wait_until(TIDY_WITHIN, || {
            left = platform.left_of_app(&id, &before);
            left.is_empty()
        });
        differences.extend(left.iter().map(|thing| format!("left behind: {thing}")));
        if platform.instances(app) != before {
            differences.push(format!("the version before was touched: {before:?} ran"));
        }
        deployment
    }

    /// As an app of its own: it has a version before of its own, or becomes ACTIVE.
    fn on_its_own(&self, outcome: &mut Outcome) {
        let app = outcome.fault.name.clone();
        let before = outcome.fault.before(&app);
        if let Some(before) = before {
            let deployment = self.platform.deploy_directory(before.path());
            assert_eq!(deployment.phase(), "ACTIVE", "the version before: {deployment}");
        }
        match &outcome.fault.expect {
            expect if expect.fails() => {
                let _back = expect
                    .broken
                    .as_deref()
                    .map(|name| self.platform.take_program_away(name));
                drop(self.fail(outcome, &app, None));
            }
            expect if expect.passes => self.pass(outcome, &app),
            _ => self.serve(outcome, &app),
        }
        let id = self.platform.app_id(&app);
        self.platform.delete(&app);
        let left = self.platform.left_of_app(&id, &[]);
        outcome
            .differences
            .extend(left.iter().map(|thing| format!("left behind: {thing}")));
    }

    /// Deploys what becomes ACTIVE, and looks meanwhile what a step says.
    fn pass(&self, outcome: &mut Outcome, app: &str) {
        let platform = self.platform;
        let folder = outcome.fault.folder(app);
        platform.deploy_directory_without_waiting(folder.path());
        let expect = &outcome.fault.expect;
        let (mut noted, mut deployment) = (None, platform.newest_deployment(app));
        let ended = wait_until(PASSES_WITHIN, || {
            let leaves = deployment.leaves().into_iter();
            noted = noted
                .take()
                .or(leaves.into_iter().find(|leaf| leaf.code() == expect.code));
            let is_final = deployment.is_final();
            if !is_final {
                deployment = platform.newest_deployment(app);
            }
            is_final
        });
        let differences = &mut outcome.differences;
        if !ended || deployment.phase() != "ACTIVE" {
            differences.push(format!("ended as {deployment}"));
        }
        outcome.got = Some(Got::of(&deployment));
        if let Some(leaf) = noted {
            outcome.got = Some(Got::of_reason(&leaf.json["reason"]));
            if !expect.is_at(&leaf.path) {
                differences.push(format!("is said at step {}", leaf.path));
            }
            differences.extend(check::reason(expect, &leaf.json["reason"]));
        } else {
            differences.push("no step carried the code".to_owned());
        }
        differences.extend(check::logs(platform, expect, app, deployment.id()));
    }

    /// Deploys what the platform does not even accept.
    fn be_refused(&self, outcome: &mut Outcome) {
        let app = outcome.fault.name.clone();
        let folder = outcome.fault.folder(&app);
        let answer = self
            .platform
            .json(&["deploy", &folder.path().display().to_string()]);
        let differences = &mut outcome.differences;
        if answer.is_success() {
            differences.push("was accepted".to_owned());
        }
        let reason = answer.json()["error"]["reason"].clone();
        outcome.got = Some(Got::of_reason(&reason));
        differences.extend(check::reason(&outcome.fault.expect, &reason));
        if self.platform.json(&["apps", "get", &app]).is_success() {
            differences.push("the app was created".to_owned());
        }
    }

    /// Deploys what becomes ACTIVE, and looks what is said then.
    fn serve(&self, outcome: &mut Outcome, app: &str) {
        let platform = self.platform;
        let folder = outcome.fault.folder(app);
        let deployment = platform.deploy_directory(folder.path());
        let expect = outcome.fault.expect.clone();
        outcome.got = Some(Got::of(&deployment));
        if deployment.phase() != "ACTIVE" {
            outcome.differences.push(format!("ended as {deployment}"));
            return;
        }
        let path = expect.visit.as_deref().unwrap_or("/");
        if expect.after_active {
            // The answer says nothing: the app may die of the question.
            drop(expect.visit.is_some().then(|| platform.get(app, path)));
            if let Some(job) = &expect.job {
                let asked = platform.json(&["jobs", "run", app, job]);
                drop(asked.expect_success("mainstay jobs run"));
            }
            self.fall(outcome, app, deployment.id());
        } else {
            if let Some(words) = &expect.page {
                platform.expect_page(app, path, words);
            }
            thread::sleep(Duration::from_secs(expect.healthy_for_seconds));
            let now = platform.newest_deployment(app);
            let instances = platform.instance_list(app);
            outcome
                .differences
                .extend(check::alarms(&expect, &now, &instances));
        }
        outcome
            .differences
            .extend(check::readable(platform, &expect, app, deployment.id()));
    }

    /// Waits for the reason of an instance that serves no more.
    fn fall(&self, outcome: &mut Outcome, app: &str, deployment: &str) {
        let mut reason = serde_json::Value::Null;
        wait_until(FALLS_WITHIN, || {
            let of_job = outcome.fault.expect.job.is_some();
            reason = if of_job {
                self.platform.newest_deployment(app).json["run_reasons"][0].clone()
            } else {
                let instances = self.platform.instance_list(app);
                let mut told = instances.iter().map(|instance| &instance["reason"]);
                let told = told.find(|reason| reason["code"].is_string());
                told.cloned().unwrap_or_default()
            };
            !reason.is_null()
        });
        if reason.is_null() {
            outcome
                .differences
                .push("no reason was told of an instance or a job".to_owned());
            return;
        }
        outcome.got = Some(Got::of_reason(&reason));
        outcome.delay = told::delay_of_fall(deployment, &reason, &self.platform.server_log());
        outcome
            .differences
            .extend(check::reason(&outcome.fault.expect, &reason));
    }

    /// Reads everything again that failed at least two deployments ago, sends the visitors away and deletes the app.
    fn close(&mut self) -> Vec<String> {
        let Some(visiting) = self.visiting.take() else {
            return Vec::new();
        };
        let mut complaints = Vec::new();
        let old = self.past.len().saturating_sub(2);
        for (fault, deployment) in &self.past[..old] {
            let unreadable = check::readable(self.platform, &fault.expect, &self.name, deployment);
            complaints.extend(
                unreadable
                    .into_iter()
                    .map(|what| format!("later, of {}: {what}", fault.name)),
            );
        }
        let report = visiting.stop();
        if report.failed() > 0 {
            complaints.push(format!(
                "of {} visits of {} failed {:?}",
                report.requests, self.name, report.failures
            ));
        }
        self.platform.delete(&self.name);
        complaints
    }
}

/// As quick to start as they come: busybox, from an image.
fn version_before(app: &str) -> Folder {
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 30 });
    let image = json!({ "registry_type": "DOCKER_HUB", "registry": "library", "repository": "hello", "tag": "latest" });
    Folder::service(app)
        .setting("image", image)
        .setting("health_check", patient)
}

fn complaint(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".into())
}

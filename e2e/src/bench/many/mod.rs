//! Asking a server with a thousand apps and twenty thousand deployments, beside one with ten.

mod api;
mod fill;

use std::time::Duration;

use self::{
    api::Api,
    fill::{Copied, Size},
};
use super::{
    World,
    measure::{Series, in_turn},
    programs,
    table::{Line, Target},
};
use crate::{Folder, Platform};

const ROUNDS: usize = 200;
const RATIO_MOST: f64 = 2.0;
const MODEL: &str = "model";
const FEW: Size = Size {
    apps: 10,
    deployments_each: 20,
    serving: 10,
};
/// As many serve as in the other one: they are what is asked for, and each has a network on the machine.
const MANY: Size = Size { apps: 1000, ..FEW };

type Path = fn(&Copied) -> String;

/// What is asked, in words and of one of the apps.
const QUESTIONS: [(&str, Path); 4] = [
    ("list apps, a page of 10", |_| "/v2/apps?per_page=10".to_owned()),
    ("get an app", |copied| format!("/v2/apps/{}", copied.app)),
    ("list its deployments, a page of 20", |copied| {
        format!("/v2/apps/{}/deployments", copied.app)
    }),
    ("get a deployment", |copied| {
        format!("/v2/apps/{}/deployments/{}", copied.app, copied.deployment)
    }),
];

/// A server with a filled database, and whose turn it is to be asked for.
struct Filled {
    platform: Platform,
    api: Api,
    copied: Vec<Copied>,
    turn: usize,
}

impl Filled {
    fn make(size: Size) -> Self {
        let mut platform = Platform::start(programs());
        let folder = Folder::static_site(MODEL).with("index.html", "<h1>Hello</h1>");
        let _ = platform.deploy_active(&folder);
        platform.stop_server();
        let copied = fill::fill(&platform.data_dir().join("mainstay.db"), size);
        platform.start_server();
        let api = Api::connect(&platform);
        Self {
            platform,
            api,
            copied,
            turn: 0,
        }
    }

    fn ask(&mut self, path: Path) -> Duration {
        self.turn = (self.turn + 1) % self.copied.len();
        self.api.ask(&path(&self.copied[self.turn]))
    }

    fn number_of_apps(&mut self) -> u64 {
        self.api.total("/v2/apps?per_page=1")
    }
}

pub(super) fn run_section(world: &mut World) -> Vec<Line> {
    let rounds = world.rounds(ROUNDS);
    println!(
        "Two servers: one with {} apps and {} deployments, one with {} and {}; copies of what a real deployment left, with events and builds.",
        MANY.apps,
        MANY.deployments(),
        FEW.apps,
        FEW.deployments()
    );
    println!(
        "The same is asked of both, over one connection each. {rounds} rounds in turn; median (least–most):\n"
    );
    // They would be measured along.
    world.take_down();
    let (mut many, mut few) = (Filled::make(MANY), Filled::make(FEW));
    // And the model.
    assert_eq!(many.number_of_apps(), MANY.apps as u64 + 1);
    assert_eq!(few.number_of_apps(), FEW.apps as u64 + 1);
    let lines = QUESTIONS.map(|(what, path)| {
        let (ours, theirs) = in_turn(rounds, || many.ask(path), || few.ask(path));
        line(what, &Series::of_times(ours), &Series::of_times(theirs))
    });
    drop((many.platform, few.platform));
    lines.into()
}

fn line(what: &str, many: &Series, few: &Series) -> Line {
    println!(
        "{what}: {:.2} ms with many, {:.2} ms with few",
        many.median(),
        few.median()
    );
    Line {
        name: format!("{} apps: {what}", MANY.apps),
        unit: "ms".to_owned(),
        ours: many.median(),
        theirs: Some(few.median()),
        other: format!("the same with {} apps", FEW.apps),
        target: Target::Ratio(RATIO_MOST),
    }
}

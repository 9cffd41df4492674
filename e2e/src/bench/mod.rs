//! The benchmarks: each compares with a named alternative in the same run, because the machine moves all numbers.
//!
//! ```text
//!  sections ──▶ World: a Platform, Docker in its own namespaces, the same app for both   (made when a section asks for it)
//!      └──────▶ rounds in turn ──▶ lines ──▶ one closing table
//! ```
//!
//! Nothing here passes or fails by a time: a missed target is shown as missed.
#![allow(
    clippy::print_stdout,
    reason = "the numbers are the product, shown as they come"
)]

mod docker;
mod interrupt;
mod many;
mod measure;
mod memory;
mod neighbours;
mod redeploy;
mod router;
mod shop;
mod start;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use docker::{ENTRY as DOCKER_DAEMON, become_daemon as become_docker_daemon};

use self::{
    docker::Docker,
    shop::Shop,
    table::{Line, Table},
};
use crate::{Platform, Programs};

/// What to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Sections by parts of their names; all when there are none.
    pub filters: Vec<String>,
    /// Instead of each section's own number.
    pub rounds: Option<usize>,
}

struct Section {
    name: &'static str,
    title: &'static str,
    run: fn(&mut World) -> Vec<Line>,
}

/// The last one wants the machine for itself.
const SECTIONS: [Section; 7] = [
    Section {
        name: "start",
        title: "An instance, from start to exit",
        run: start::run_section,
    },
    Section {
        name: "unchanged",
        title: "A redeploy of what has not changed",
        run: redeploy::unchanged,
    },
    Section {
        name: "one-file",
        title: "A redeploy of one changed file",
        run: redeploy::one_file,
    },
    Section {
        name: "memory",
        title: "Memory",
        run: memory::run_section,
    },
    Section {
        name: "many",
        title: "Many apps against few",
        run: many::run_section,
    },
    Section {
        name: "neighbours",
        title: "An app beside builds that misbehave",
        run: neighbours::run_section,
    },
    Section {
        name: "router",
        title: "The router against nginx",
        run: router::run_section,
    },
];

/// Runs the chosen sections. False when one could not be run; what is slow is shown, and true.
pub fn run(options: &Options) -> bool {
    let chosen = |section: &&Section| {
        options.filters.is_empty()
            || options
                .filters
                .iter()
                .any(|filter| section.name.contains(filter.as_str()))
    };
    let sections: Vec<&Section> = SECTIONS.iter().filter(chosen).collect();
    if sections.is_empty() {
        let known = SECTIONS.map(|section| section.name).join(", ");
        eprintln!(
            "no benchmark is called like {:?}; known are {known}",
            options.filters
        );
        return false;
    }
    interrupt::listen();
    let mut world = World {
        rounds: options.rounds,
        ..World::default()
    };
    let (mut lines, mut complete) = (Vec::new(), true);
    for section in sections.into_iter().take_while(|_| !interrupt::is_told()) {
        println!("\n══ {} ({})\n", section.title, section.name);
        // The panic has said itself what was wrong; the other sections can do without this one.
        let measured = catch_unwind(AssertUnwindSafe(|| (section.run)(&mut world)));
        if measured.is_err() {
            // The panic has said itself what was wrong; the other sections can do without this one.
            println!("✘ {} could not be measured", section.name);
            complete = false;
        }
        lines.extend(measured.unwrap_or_default());
    }
    world.take_down();
    println!("\n══ Summary\n\n{}", Table(&lines));
    complete && !interrupt::is_told()
}

/// What sections share, made when it is first asked for.
#[derive(Debug, Default)]
struct World {
    rounds: Option<usize>,
    shop: Option<Shop>,
    platform: Option<Platform>,
    docker: Option<Docker>,
}

impl World {
    fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    fn rounds_wanted(&self) -> Option<usize> {
        self.rounds
    }

    fn docker(&mut self) -> &Docker {
        self.docker.get_or_insert_with(Docker::start)
    }

    fn platform_mut(&mut self) -> &mut Platform {
        self.platform.get_or_insert_with(|| Platform::start(programs()))
    }

    fn both_with_shop(&mut self) -> (&Platform, &Docker, &Shop) {
        let docker = self.docker.get_or_insert_with(Docker::start);
        let platform = self.platform.get_or_insert_with(|| Platform::start(programs()));
        let shop = self.shop.get_or_insert_with(|| Shop::open(platform, docker));
        (platform, docker, shop)
    }

    fn take_down(&mut self) {
        self.shop = None;
        self.platform = None;
        self.docker = None;
    }
}

fn programs() -> Programs {
    Programs::find().expect("this machine can run Mainstay, and MAINSTAY_PROGRAMS names its programs")
}

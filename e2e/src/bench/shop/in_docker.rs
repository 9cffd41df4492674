//! `docker build`, `docker run`, and asking until it answers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    super::{
        docker::{Docker, LIMITS},
        measure::milliseconds,
    },
    PORT, told,
};
use crate::{run::Answer, visit::Waiting};

const IMAGE: &str = "mainstay-bench/shop";
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// Milliseconds since the command to build.
#[derive(Debug)]
pub(in super::super) struct DockerRedeploy {
    pub(in super::super) built: f64,
    pub(in super::super) answered: f64,
    /// What the app says of itself; 0 for a build out of the cache.
    pub(in super::super) own_build: f64,
    pub(in super::super) own_boot: f64,
}

impl DockerRedeploy {
    pub(in super::super) fn overhead(&self) -> f64 {
        self.answered - self.own_build - self.own_boot
    }
}

/// One after the other: each is started beside the one before, which then goes. No port is published: the visitor asks the container
/// itself, and nothing is switched.
pub(in super::super) struct Containers<'a> {
    docker: &'a Docker,
    prefix: &'static str,
    started: u32,
}

impl<'a> Containers<'a> {
    pub(in super::super) fn new(docker: &'a Docker, prefix: &'static str) -> Self {
        Self {
            docker,
            prefix,
            started: 0,
        }
    }

    /// Builds the directory and starts what was built. What goes is not measured.
    pub(in super::super) fn redeploy(&mut self, directory: &Path, words: &str) -> DockerRedeploy {
        self.started += 1;
        let name = |number: u32| format!("{}-{number}", self.prefix);
        let measured = redeploy(self.docker, directory, &name(self.started), words);
        if self.started > 1 {
            let _ = self.docker.client(&["rm", "--force", &name(self.started - 1)]);
        }
        measured
    }
}

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        // After a panic the whole daemon goes anyway.
        if self.started > 0 && !std::thread::panicking() {
            let _ = self
                .docker
                .client(&["rm", "--force", &format!("{}-{}", self.prefix, self.started)]);
        }
    }
}

fn redeploy(docker: &Docker, directory: &Path, container: &str, words: &str) -> DockerRedeploy {
    let began = Instant::now();
    let passed = || milliseconds(began.elapsed());
    let build = build(docker, directory);
    let built = passed();
    run(docker, container);
    await_page(docker, container, words);
    let answered = passed();
    let output = build.stdout + &build.stderr;
    let own_build = if output.contains("build took") {
        told(&output, "build")
    } else {
        0.0
    };
    let own_boot = told(&docker.log(container), "boot");
    DockerRedeploy {
        built,
        answered,
        own_build,
        own_boot,
    }
}

pub(in super::super) fn build(docker: &Docker, directory: &Path) -> Answer {
    docker.client(&[
        "build",
        "--progress",
        "plain",
        "--tag",
        IMAGE,
        &directory.display().to_string(),
    ])
}

pub(in super::super) fn run(docker: &Docker, container: &str) {
    let port = format!("PORT={PORT}");
    let named = ["run", "--detach", "--name", container, "--env", &port];
    let _ = docker.client(&[&named[..], &LIMITS[..], &[IMAGE]].concat());
}

pub(in super::super) fn await_page(docker: &Docker, container: &str, words: &str) {
    let _ = docker.wait_for_page(&Waiting {
        address: docker.address(container, PORT),
        host: container,
        path: "/",
        wanted: &|text| text.contains(words),
        within: ANSWERS_WITHIN,
    });
}

//! What visitors of an app see.

use std::io;

use super::{DEPLOYS_WITHIN, Platform};
use crate::visit::{self, Page, Visiting, Waiting};

impl Platform {
    /// Asks an app through the router.
    pub fn get(&self, app: &str, path: &str) -> io::Result<Page> {
        visit::get(self.setup.router, &self.host(app), path)
    }

    /// Sends a form to an app through the router.
    pub fn post(&self, app: &str, path: &str, form: &str) -> io::Result<Page> {
        self.post_with(app, path, form, "")
    }

    /// The same with header lines added.
    pub fn post_with(&self, app: &str, path: &str, form: &str, headers: &str) -> io::Result<Page> {
        visit::post_with(self.setup.router, &self.host(app), path, form, headers)
    }

    /// Asks an app through the router until it answers 200 with what is wanted; within the time that a deployment may take.
    pub(crate) fn wait_for_page(&self, app: &str, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Page {
        let host = self.host(app);
        let waiting = Waiting {
            address: self.setup.router,
            host: &host,
            path: "/",
            wanted,
            within: DEPLOYS_WITHIN,
        };
        waiting.wait().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Fails the test unless the app answers 200 with these words.
    pub fn expect_page(&self, app: &str, path: &str, words: &str) {
        let page = self
            .get(app, path)
            .unwrap_or_else(|error| panic!("{app} does not answer: {error}"));
        assert!(
            page.status == 200 && page.text.contains(words),
            "{app}{path} should say {words:?}: {}",
            page.text
        );
    }

    /// Visitors of an app, evenly spread.
    pub fn visitors(&self, app: &str, per_second: f64) -> Visiting {
        Visiting::start(self.setup.router, &self.host(app), per_second)
    }

    fn host(&self, app: &str) -> String {
        format!("{app}.localhost:{}", self.setup.router.port())
    }
}

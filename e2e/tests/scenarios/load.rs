//! A new version takes over without a lost request.

use mainstay_e2e::{Platform, python_hello};

const APP: &str = "busy";
const VISITS_PER_SECOND: f64 = 20.0;
/// Less than a second's worth: a redeploy may be quick.
const VISITS_MIN: u64 = 10;

pub(crate) fn redeploys_lose_no_request(platform: &mut Platform) {
    platform.deploy_active(&python_hello(APP, "version 1"));
    let visiting = platform.visitors(APP, VISITS_PER_SECOND);
    for version in ["version 2", "version 3"] {
        platform.deploy_active(&python_hello(APP, version));
        platform.expect_page(APP, "/", version);
    }
    visiting.stop_unharmed(VISITS_MIN);
    platform.delete(APP);
}

//! A new version takes over without a lost request.

use mainstay_e2e::{Platform, flask_hello};

const APP: &str = "busy";
const VISITS_PER_SECOND: f64 = 200.0;
const REDEPLOYS: u32 = 5;
/// Less than a second's worth of each deploy: one may be quick, and the machine busy.
const VISITS_MIN: u64 = 500;

pub(crate) fn redeploys_lose_no_request(platform: &mut Platform) {
    platform.deploy_active(&flask_hello(APP, "version 0"));
    let visiting = platform.visitors(APP, VISITS_PER_SECOND);
    for version in 1..=REDEPLOYS {
        let greeting = format!("version {version}");
        platform.deploy_active(&flask_hello(APP, &greeting));
        platform.expect_page(APP, "/", &greeting);
    }
    visiting.stop_unharmed(VISITS_MIN);
    platform.delete(APP);
}

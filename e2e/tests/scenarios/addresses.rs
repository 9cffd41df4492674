//! Addresses of the network are a part of what a machine has: refused with numbers before anything of a deployment begins.

use std::time::Duration;

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Folder, Platform, python_hello, wait_until};

/// Nobody gives an address back meanwhile.
const CONFIG: &str = "[capacity]\nwait_seconds = 2\n";
const GOES_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn the_last_address_is_refused_with_numbers(platform: &mut Platform) {
    let platform = platform.beside_with_few_addresses(CONFIG);
    let files = Folder::static_site("files").with("index.html", "<p>files</p>");
    platform.deploy_active(&files);
    for app in ["one", "two"] {
        platform.deploy_active(&python_hello(app, app));
    }
    let ranges = || {
        let listed: serde_json::Value =
            serde_json::from_str(&platform.json(&["limits"]).stdout).expect("a list");
        let limits = listed.as_array().cloned().unwrap_or_default();
        let of_network = limits.into_iter().find(|limit| {
            limit["resource"]
                .as_str()
                .is_some_and(|name| name.contains("address"))
        });
        of_network.map(|limit| (limit["used"].as_u64(), limit["limit"].as_u64()))
    };
    assert_eq!(ranges(), Some((Some(2), Some(2))), "files need no address");

    let refused = platform.deploy(&python_hello("three", "three"));
    assert_eq!(
        (refused.code(), refused.cause()),
        (Some(Code::ResourceExhausted), Some(Cause::NodeCapacity)),
        "{refused}"
    );
    assert!(
        refused.message().contains("has 2 in all and 2 are in use"),
        "{refused}"
    );
    assert_eq!(
        platform.build_log("three", refused.id()),
        "",
        "something was built"
    );
    platform.expect_page("one", "/", "one");
    platform.expect_page("files", "/", "files");

    // Whoever goes gives a range back.
    platform.delete("two");
    assert!(
        wait_until(GOES_WITHIN, || ranges() == Some((Some(1), Some(2)))),
        "{:?}",
        ranges()
    );
    platform.deploy_active(&python_hello("three", "three"));
    platform.expect_page("three", "/", "three");
}

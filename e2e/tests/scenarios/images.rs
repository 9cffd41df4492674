//! Apps that come as a Dockerfile or as an image.

use mainstay_diagnosis::Code;
use mainstay_e2e::{Folder, Platform};
use serde_json::json;

pub(crate) fn a_dockerfile_app_serves(platform: &mut Platform) {
    let registry = platform.start_registry();
    registry.push_busybox("library/alpine:latest", &[], "sh");
    let folder = |greeting: &str| {
        Folder::service("dockered")
            .setting("dockerfile_path", "Dockerfile")
            .with("Dockerfile", DOCKERFILE)
            .with("words.txt", greeting)
    };
    platform.deploy_active(&folder("first words"));
    platform.expect_page("dockered", "/index.html", "first words");
    platform.deploy_active(&folder("second words"));
    platform.expect_page("dockered", "/index.html", "second words");
    let unchanged = platform.deploy_active(&folder("second words"));
    assert!(unchanged.notes(Code::PreviousBuildReused), "{unchanged}");
    platform.delete("dockered");
}

const DOCKERFILE: &str = r#"FROM alpine AS pages
COPY words.txt /words.txt
RUN mkdir -p /pages && cat /words.txt > /pages/index.html

FROM alpine
COPY --from=pages /pages /pages
CMD ["httpd", "-f", "-p", "8080", "-h", "/pages"]
"#;

pub(crate) fn a_prebuilt_image_serves(platform: &mut Platform) {
    let registry = platform.start_registry();
    let command = r#"["httpd", "-f", "-p", "8080", "-h", "/pages"]"#;
    registry.push_busybox("acme/pages:1", &[("pages/index.html", "version one")], command);
    registry.push_busybox("acme/pages:2", &[("pages/index.html", "version two")], command);
    for (tag, words) in [("1", "version one"), ("2", "version two")] {
        let image =
            json!({ "registry_type": "DOCKER_HUB", "registry": "acme", "repository": "pages", "tag": tag });
        platform.create_or_update(&Folder::service("pulled").setting("image", image));
        platform.expect_page("pulled", "/", words);
    }
    platform.delete("pulled");
}

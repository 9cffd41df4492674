//! What a deployment says about each of its components.

use crate::wire::wire_object;

wire_object! {
    pub struct DeploymentComponent {
        pub name: String,
        pub source_commit_hash: String,
        pub source_image_digest: String,
        pub buildpacks: Vec<Buildpack>,
    }
}

wire_object! {
    pub struct DeploymentFunctions {
        pub name: String,
        pub source_commit_hash: String,
        pub namespace: String,
    }
}

wire_object! {
    pub struct Buildpack {
        pub id: String,
        pub name: String,
        pub version: String,
        pub major_version: u32,
        pub latest: bool,
        pub docs_link: String,
        pub description: Vec<String>,
    }
}

//! Pulling images: from a real registry on loopback, and from ones that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

mod support;

use std::{
    fs,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use flate2::{Compression, write::GzEncoder};
use mainstay_images::{
    ImageStore, OperatorSettings,
    registry::{Credentials, Registry, RegistryError},
};
use support::registry::{Answer, RealRegistry, descriptor, digest, scripted};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer with one file: the plain tar and the blob.
fn layer(path: &str, text: &str) -> (Vec<u8>, Vec<u8>) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    let tar = builder.into_inner().unwrap();
    let blob = gzip(&tar);
    (tar, blob)
}

fn store() -> (tempfile::TempDir, ImageStore, Registry) {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    let registry = Registry::new(&store, &OperatorSettings::default());
    (root, store, registry)
}

fn lacks_registry() -> bool {
    support::lacks_root() || support::lacks("docker-registry")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_once_and_its_layers_are_shared() {
    if lacks_registry() {
        return;
    }
    let (_root, store, registry) = store();
    let server = RealRegistry::start();
    let (base, app, other) = (layer("base", "1"), layer("app", "2"), layer("other", "3"));
    let pushed = server
        .push("team/app:1", "amd64", &[base.clone(), app.clone()])
        .await;
    server.push("team/other:1", "amd64", &[base, other]).await;

    let image = registry
        .pull(&server.reference("team/app:1"), None)
        .await
        .unwrap();
    assert_eq!(image.digest.as_deref(), Some(pushed.as_str()));
    assert_eq!(image.config.exposed_ports, [8080]);
    let paths = store.layer_paths(&image).unwrap();
    assert_eq!(fs::read_to_string(paths[0].join("base")).unwrap(), "1");
    assert_eq!(fs::read_to_string(paths[1].join("app")).unwrap(), "2");

    let other = registry
        .pull(&server.reference("team/other:1"), None)
        .await
        .unwrap();
    assert_eq!(other.layers[0], image.layers[0]);
    assert_eq!(
        registry
            .pull(&server.reference("team/app:1"), None)
            .await
            .unwrap(),
        image
    );
    let by_digest = registry
        .pull(&server.reference(&format!("team/app@{pushed}")), None)
        .await
        .unwrap();
    assert_eq!(by_digest.layers, image.layers);
    assert_eq!(
        registry
            .digest(&server.reference("team/app:1"), None)
            .await
            .unwrap(),
        pushed
    );
}

#[tokio::test]
async fn of_several_platforms_this_machines_is_taken_and_others_are_told() {
    if lacks_registry() {
        return;
    }
    let (_root, _store, registry) = store();
    let server = RealRegistry::start();
    let amd = server.push("multi:amd", "amd64", &[layer("amd", "1")]).await;
    let arm = server.push("multi:arm", "arm64", &[layer("arm", "1")]).await;
    let index_type = "application/vnd.oci.image.index.v1+json";
    let index = |entries: &[(&str, &str, &str)]| {
        let entry = |(digest, os, architecture): &(&str, &str, &str)| {
            serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
                "size": 1, "platform": { "os": os, "architecture": architecture } })
        };
        serde_json::to_vec(&serde_json::json!({ "schemaVersion": 2, "mediaType": index_type,
            "manifests": entries.iter().map(entry).collect::<Vec<_>>() }))
        .unwrap()
    };
    let both = index(&[
        (&arm, "linux", "arm64"),
        (&arm, "unknown", "unknown"),
        (&amd, "linux", "amd64"),
    ]);
    let digest = server.push_manifest("multi:both", index_type, &both).await;
    let image = registry
        .pull(&server.reference("multi:both"), None)
        .await
        .unwrap();
    assert_eq!(image.digest, Some(digest));

    let foreign = index(&[(&arm, "linux", "arm64"), (&arm, "unknown", "unknown")]);
    server.push_manifest("multi:foreign", index_type, &foreign).await;
    for name in ["multi:foreign", "multi:arm"] {
        match registry.pull(&server.reference(name), None).await {
            Err(RegistryError::Architecture { available, .. }) => {
                assert_eq!(available, ["linux/arm64"], "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    if lacks_registry() {
        return;
    }
    let (_root, _store, registry) = store();
    let server = RealRegistry::start();
    server.push("there:1", "amd64", &[layer("a", "1")]).await;
    let missing = format!("there@sha256:{}", "0".repeat(64));
    for name in ["there:2", "nowhere:1", &missing] {
        let error = registry.pull(&server.reference(name), None).await.unwrap_err();
        assert!(
            matches!(error, RegistryError::NotFound { .. }),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn refusals_keep_their_meaning_and_are_not_repeated() {
    let cases = [
        (401, "unauthorized"),
        (403, "unauthorized"),
        (429, "rate"),
        (404, "not found"),
        (418, "refused"),
    ];
    for (status, expected) in cases {
        let (_root, _store, registry) = store();
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let host = scripted(move |_, path| {
            if path == "/v2/" {
                Answer::new(200, "{}")
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                Answer::new(status, "no")
            }
        });
        let credentials = Credentials {
            user: "u".to_owned(),
            token: "secret".to_owned(),
        };
        let error = registry
            .pull(&format!("{host}/app:1"), Some(&credentials))
            .await
            .unwrap_err();
        let found = match &error {
            RegistryError::Unauthorized { .. } => "unauthorized",
            RegistryError::RateLimited { .. } => "rate",
            RegistryError::NotFound { .. } => "not found",
            RegistryError::Refused { status: 418, .. } => "refused",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(found, expected);
        assert!(!format!("{error:?} {error}").contains("secret"));
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
    }
}

#[tokio::test]
async fn nobody_listening_is_a_network_fault_after_three_tries() {
    let (_root, _store, registry) = store();
    match registry.pull("127.0.0.1:9/app:1", None).await {
        Err(RegistryError::Network {
            attempts: 3, host, ..
        }) => assert_eq!(host, "127.0.0.1:9"),
        other => panic!("{other:?}"),
    }
    let bad = registry.pull("no image", None).await.unwrap_err();
    assert!(matches!(bad, RegistryError::BadReference { .. }), "{bad:?}");
}

/// A registry with one image of one layer; the first `broken` times the blob breaks off half way.
fn flaky(diff_id: &str, blob: Vec<u8>, broken: u32) -> String {
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [diff_id] }
    }))
    .unwrap();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &blob)],
    }))
    .unwrap();
    let asked = AtomicU32::new(0);
    let (config_path, blob_path) = (
        format!("/v2/app/blobs/{}", digest(&config)),
        format!("/v2/app/blobs/{}", digest(&blob)),
    );
    scripted(move |_, path| match path {
        "/v2/" => Answer::new(200, "{}"),
        path if path.contains("/manifests/") => Answer::new(200, manifest.clone()),
        path if path == config_path => Answer::new(200, config.clone()),
        path if path == blob_path => Answer {
            cut_at: (asked.fetch_add(1, Ordering::SeqCst) < broken).then_some(blob.len() / 2),
            ..Answer::new(200, blob.clone())
        },
        _ => Answer::new(404, "no"),
    })
}

#[tokio::test]
async fn a_broken_download_is_repeated() {
    if support::lacks_root() {
        return;
    }
    let (_root, store, registry) = store();
    let (tar, blob) = layer("file", "text");
    let host = flaky(&digest(&tar), blob.clone(), 2);
    let image = registry.pull(&format!("{host}/app:1"), None).await.unwrap();
    let path = store.layer_paths(&image).unwrap()[0].join("file");
    assert_eq!(fs::read_to_string(path).unwrap(), "text");

    let (_root, store, registry) = self::store();
    let host = flaky(&digest(&tar), blob, 3);
    let error = registry.pull(&format!("{host}/app:1"), None).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Network { attempts: 3, .. }),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(store.root().join("drafts")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_layer_that_is_not_what_its_config_says_is_refused() {
    if support::lacks_root() {
        return;
    }
    let (_root, store, registry) = store();
    let (_, blob) = layer("file", "text");
    let host = flaky(&digest(b"another tar"), blob, 0);
    let error = registry.pull(&format!("{host}/app:1"), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid { .. }), "{error:?}");
    assert_eq!(store.images(), []);
    assert_eq!(fs::read_dir(store.root().join("layers")).unwrap().count(), 0);
}

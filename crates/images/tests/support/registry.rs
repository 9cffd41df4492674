//! Registries for tests: Debian's `docker-registry` on loopback, and one that answers what the test says.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use mainstay_testkit::Place;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use sha2::{Digest, Sha256};

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// A real registry; killed with the guard.
pub(crate) struct RealRegistry {
    child: Child,
    _directory: tempfile::TempDir,
    _place: Place,
    pub(crate) host: String,
}

impl RealRegistry {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::claim();
        let host = place.address(0).to_string();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n",
            directory.path().display()
        );
        let file = directory.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            child,
            _directory: directory,
            _place: place,
            host,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&registry.host).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::yield_now();
        }
        registry
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// Pushes an image of these layers (the plain tar, the blob) and gives its digest.
    pub(crate) async fn push(&self, name: &str, architecture: &str, layers: &[(Vec<u8>, Vec<u8>)]) -> String {
        let config = serde_json::to_vec(&serde_json::json!({
            "architecture": architecture, "os": "linux",
            "config": { "Env": ["A=1"], "Cmd": ["serve"], "ExposedPorts": { "8080/tcp": {} } },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|(tar, _)| digest(tar)).collect::<Vec<_>>() },
        }))
        .unwrap();
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|(_, blob)| {
                descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob)
            }).collect::<Vec<_>>(),
        }))
        .unwrap();
        for blob in layers.iter().map(|(_, blob)| blob).chain([&config]) {
            self.push_blob(name, blob).await;
        }
        self.push_manifest(name, "application/vnd.oci.image.manifest.v1+json", &manifest)
            .await
    }

    pub(crate) async fn push_blob(&self, name: &str, blob: &[u8]) {
        let reference = self.parsed(name);
        let client = self.client();
        client
            .store_auth_if_needed(reference.resolve_registry(), &RegistryAuth::Anonymous)
            .await;
        client
            .push_blob(&reference, blob.to_vec(), &digest(blob))
            .await
            .unwrap();
    }

    pub(crate) async fn push_manifest(&self, name: &str, media_type: &str, manifest: &[u8]) -> String {
        let reference = self.parsed(name);
        let client = self.client();
        client
            .store_auth_if_needed(reference.resolve_registry(), &RegistryAuth::Anonymous)
            .await;
        client
            .push_manifest_raw(&reference, manifest.to_vec(), media_type.parse().unwrap())
            .await
            .unwrap();
        digest(manifest)
    }

    fn parsed(&self, name: &str) -> Reference {
        self.reference(name).parse().unwrap()
    }

    fn client(&self) -> Client {
        mainstay_images::http::install_tls_provider();
        let protocol = ClientProtocol::HttpsExcept(vec![self.host.clone()]);
        Client::try_from(ClientConfig {
            protocol,
            ..ClientConfig::default()
        })
        .unwrap()
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a scripted registry answers; `None` closes the connection in the middle.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    pub(crate) cut_at: Option<usize>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            cut_at: None,
        }
    }
}

/// Answers each request (method, path) by the test's function, one connection each. Ends with the test's process.
pub(crate) fn scripted(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    host
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &str) -> Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
        header.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Answer { status, body, cut_at } = answer(method, path);
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n\
         Docker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        digest(&body)
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&body[..cut_at.unwrap_or(body.len())]);
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = reader.read_to_end(&mut Vec::new());
}

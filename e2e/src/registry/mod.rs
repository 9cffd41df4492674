//! A container registry on loopback: Debian's `docker-registry`, with images made by `buildah`.

mod refusing;

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

pub(crate) use self::refusing::{Refusal, RefusingRegistry};
use crate::{run::run, wait_until};

const LISTENS_WITHIN: Duration = Duration::from_secs(30);
const BUILDAH_WITHIN: Duration = Duration::from_mins(1);
const BUSYBOX: &str = "/bin/busybox";
const ANY_SIGNATURE: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// A running registry; it ends, and its images go, with the guard.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    directory: TempDir,
    process: Child,
}

impl Registry {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("mainstay-e2e-registry-")
            .tempdir()
            .expect("the temporary directory is writable");
        let root = directory.path().join("blobs");
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            root.display()
        );
        let file = directory.path().join("config.yml");
        fs::write(&file, config).expect("our own directory");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self {
            address,
            directory,
            process,
        };
        let listens = wait_until(LISTENS_WITHIN, || TcpStream::connect(address).is_ok());
        assert!(listens, "docker-registry does not listen on {address}");
        registry
    }

    /// Pushes an image as small as they come: Debian's static busybox under its usual names, the files of `folder`, and `command` to run.
    pub fn push_busybox(&self, name: &str, files: &[(&str, &str)], command: &str) {
        let root = self.directory.path().join("root");
        for directory in ["bin", "tmp", "etc"] {
            fs::create_dir_all(root.join(directory)).expect("our own directory");
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox-static is installed");
        for applet in ["sh", "cat", "mkdir", "httpd", "sleep", "echo"] {
            // There already, if this is not the first image.
            drop(std::os::unix::fs::symlink(
                "busybox",
                root.join("bin").join(applet),
            ));
        }
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a directory"))
                .expect("our own directory");
            fs::write(path, text).expect("our own directory");
        }
        let policy = self.path("policy.json");
        fs::write(&policy, ANY_SIGNATURE).expect("our own directory");
        let policy = format!("--signature-policy={}", policy.display());
        let target = format!("docker://{}/{name}", self.address);
        let source = root.display().to_string();
        self.buildah(&["from", &policy, "--name", "base", "scratch"]);
        self.buildah(&["copy", "base", &source, "/"]);
        self.buildah(&["config", "--env", "PATH=/bin", "--cmd", command, "base"]);
        self.buildah(&["commit", &policy, "--rm", "base", name]);
        self.buildah(&["push", &policy, "--tls-verify=false", name, &target]);
        fs::remove_dir_all(root).expect("our own directory");
    }

    fn buildah(&self, arguments: &[&str]) {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.path("store"));
        command.arg("--runroot").arg(self.path("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        let _ = run(&mut command, BUILDAH_WITHIN).expect_success("buildah");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

//! buildah's command lines, as data. Nothing else in Mainstay knows its flags.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use mainstay_images::settings::CONTAINER_CA_BUNDLE;

use super::{
    config::{CA_BUNDLE_IN_STEP, DockerfileConfig, NetworkNamespace, StepNetwork},
    layout::{Store, create_private},
};

/// A program to start: arguments and the whole environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Values are not shown by `Debug` of anything that is logged: they hold secret build arguments.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Variables that buildah forwards from its own environment to every `RUN`, and registries are asked through.
const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

/// Name prefixes that mean something to the programs between us and the step (dynamic loader, shell, Go runtime, container libraries):
/// a user's variable of such a name never becomes part of their environment.
const RESERVED_PREFIXES: [&str; 8] = [
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "BASH",
    "BUILDAH_",
    "CONTAINERS_",
    "XDG_",
    "LC_",
];
const RESERVED_NAMES: [&str; 40] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "SHELL",
    "SHELLOPTS",
    "ENV",
    "IFS",
    "PS1",
    "PS2",
    "PS4",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "ZONEINFO",
    "LOGLEVEL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "GCONV_PATH",
    "GNUPGHOME",
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "SSH_AUTH_SOCK",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "REGISTRY_AUTH_FILE",
    "REGISTRIES_CONFIG_PATH",
    "BUILD_REGISTRY_SOURCES",
    "GODEBUG",
    "GOGC",
    "GOMEMLIMIT",
    "GOMAXPROCS",
    "GOTRACEBACK",
    "GOCOVERDIR",
];

/// True when a variable must not be put into buildah's own environment.
pub(crate) fn is_reserved(name: &str) -> bool {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !is_plain
        || name.starts_with('_')
        || name.to_ascii_lowercase().ends_with("_proxy")
        || RESERVED_NAMES.contains(&name)
        || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Writes the settings files that every call points to, so that nothing under `/etc/containers` or in a home directory has a say.
pub(crate) fn write_settings(directory: &Path, config: &DockerfileConfig) -> io::Result<()> {
    create_private(directory)?;
    create_private(&directory.join("registries.conf.d"))?;
    let files = [
        ("registries.conf", registries(config)),
        ("containers.conf", String::new()),
        ("storage.conf", "[storage]\ndriver = \"overlay\"\n".to_owned()),
        ("auth.json", "{}".to_owned()),
        (
            "policy.json",
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
        ),
    ];
    for (name, text) in files {
        write_private(&directory.join(name), &text)?;
    }
    Ok(())
}

/// `containers-registries.conf(5)`, version 2. The values are quoted as TOML basic strings by `{:?}` of plain host names.
fn registries(config: &DockerfileConfig) -> String {
    let head = format!(
        "unqualified-search-registries = [{:?}]\nshort-name-mode = \"disabled\"\n",
        config.default_registry
    );
    let settings = &config.operator.registries;
    let mirrored = settings.mirrors.iter().map(|(prefix, location)| {
        let insecure = settings.speaks_http(location);
        format!("[[registry]]\nprefix = {prefix:?}\nlocation = {location:?}\ninsecure = {insecure}\n")
    });
    let plain = settings
        .insecure
        .iter()
        .filter(|host| !settings.mirrors.contains_key(*host));
    let plain = plain.map(|host| format!("[[registry]]\nlocation = {host:?}\ninsecure = true\n"));
    std::iter::once(head).chain(mirrored).chain(plain).collect()
}

pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Calls of buildah on one store.
#[derive(Debug, Clone)]
pub(crate) struct Buildah<'a> {
    pub config: &'a DockerfileConfig,
    pub settings: &'a Path,
    pub store: &'a Store,
    /// Root of the shared store, whose images and layers every other store can use.
    pub shared_root: PathBuf,
}

/// One `buildah build`.
#[derive(Debug)]
pub(crate) struct BuildCall<'a> {
    pub dockerfile: &'a Path,
    pub context: &'a Path,
    pub ignore_file: &'a Path,
    pub image_id_file: &'a Path,
    /// State directory of the runtime.
    pub runtime_state: &'a Path,
    pub cgroup: &'a str,
    pub target: Option<&'a str>,
    pub no_cache: bool,
    pub network: Option<&'a NetworkNamespace>,
    /// Handed over in buildah's environment: process lists show command lines to everybody.
    pub arguments: BTreeMap<&'a str, &'a str>,
    /// Arguments that may be seen in the process list.
    pub plain_arguments: BTreeMap<&'a str, &'a str>,
    /// (id, file).
    pub secrets: Vec<(&'a str, PathBuf)>,
    pub ca_bundle: Option<&'a Path>,
}

impl Buildah<'_> {
    /// `plain`: over plain HTTP, or with any certificate.
    pub(crate) fn pull(&self, reference: &str, refresh: bool, plain: bool) -> Invocation {
        let policy = if refresh { "always" } else { "missing" };
        // Retrying is ours. 1.28 takes `--retry 0` for its default of three with two seconds between them, so it gets one at once.
        let mut call = self.call(&[
            "pull",
            "--quiet",
            "--retry",
            "1",
            "--retry-delay",
            "1ms",
            "--policy",
            policy,
        ]);
        if plain {
            call.arguments.push("--tls-verify=false".into());
        }
        self.signature_policy(&mut call);
        call.arguments.push(reference.into());
        call
    }

    /// Removes all working containers of the store.
    pub(crate) fn remove_containers(&self) -> Invocation {
        self.call(&["rm", "--all"])
    }

    pub(crate) fn remove_images(&self, images: &[String]) -> Invocation {
        let mut call = self.call(&["rmi", "--force"]);
        call.arguments.extend(images.iter().map(OsString::from));
        call
    }

    pub(crate) fn scratch_container(&self, container: &str) -> Invocation {
        let mut call = self.call(&["from", "--name", container]);
        self.signature_policy(&mut call);
        call.arguments.push("scratch".into());
        call
    }

    pub(crate) fn copy(&self, container: &str, directory: &Path) -> Invocation {
        let mut call = self.call(&["copy", "--quiet", container]);
        call.arguments.extend([directory.into(), "/".into()]);
        call
    }

    pub(crate) fn configure(&self, container: &str, settings: &[String]) -> Invocation {
        let mut call = self.call(&["config"]);
        call.arguments.extend(settings.iter().map(OsString::from));
        call.arguments.push(container.into());
        call
    }

    pub(crate) fn commit(&self, container: &str, name: &str) -> Invocation {
        let mut call = self.call(&["commit", "--quiet", "--format", "docker", "--rm"]);
        self.signature_policy(&mut call);
        call.arguments.extend([container.into(), name.into()]);
        call
    }

    pub(crate) fn build(&self, build: &BuildCall<'_>) -> Invocation {
        // The docker format keeps SHELL, HEALTHCHECK and ONBUILD; buildah's default, OCI, drops them with a warning.
        let mut call = self.call(&[
            "build",
            "--isolation=oci",
            "--format=docker",
            "--force-rm",
            "--layers",
            "--pull=never",
        ]);
        self.signature_policy(&mut call);
        let arguments = &mut call.arguments;
        option(
            arguments,
            "--runtime-flag",
            &prefixed("root=", build.runtime_state),
        );
        option(arguments, "--cgroup-parent", build.cgroup.as_ref());
        option(arguments, "--file", build.dockerfile.as_os_str());
        option(arguments, "--ignorefile", build.ignore_file.as_os_str());
        option(arguments, "--iidfile", build.image_id_file.as_os_str());
        if build.no_cache {
            arguments.push("--no-cache".into());
        }
        if let Some(target) = build.target {
            option(arguments, "--target", target.as_ref());
        }
        self.network(arguments, build);
        for name in build.arguments.keys() {
            option(arguments, "--build-arg", name.as_ref());
        }
        for (name, value) in &build.plain_arguments {
            option(arguments, "--build-arg", format!("{name}={value}").as_ref());
        }
        for (id, file) in &build.secrets {
            option(arguments, "--secret", &prefixed(&format!("id={id},src="), file));
        }
        if let Some(bundle) = build.ca_bundle {
            let mut volume = bundle.as_os_str().to_owned();
            volume.push(format!(":{CA_BUNDLE_IN_STEP}:ro"));
            option(arguments, "--volume", &volume);
        }
        arguments.push(build.context.into());
        for (name, value) in &build.arguments {
            call.environment.insert(name.into(), value.into());
        }
        match build.network {
            Some(namespace) => self.inside(namespace, call),
            None => call,
        }
    }

    /// buildah's own `private` network needs CNI plugins, so a prepared namespace is entered before buildah starts, and is "the host" for it.
    fn network(&self, arguments: &mut Vec<OsString>, build: &BuildCall<'_>) {
        let network = match (&self.config.network, build.network) {
            (StepNetwork::Host, _) | (StepNetwork::Namespace(_), Some(_)) => "host",
            // A namespace that was not given is not reached; without it nothing may be reachable.
            (StepNetwork::None, _) | (StepNetwork::Namespace(_), None) => "none",
        };
        option(arguments, "--network", network.as_ref());
        for server in build.network.iter().flat_map(|namespace| &namespace.name_servers) {
            option(arguments, "--dns", server.to_string().as_ref());
        }
    }

    fn inside(&self, namespace: &NetworkNamespace, call: Invocation) -> Invocation {
        let mut arguments = vec![
            prefixed("--net=", &namespace.path),
            "--".into(),
            call.program.into(),
        ];
        arguments.extend(call.arguments);
        Invocation {
            program: self.config.tools.nsenter.clone(),
            arguments,
            environment: call.environment,
        }
    }

    fn signature_policy(&self, call: &mut Invocation) {
        let file = self.settings.join("policy.json");
        option(&mut call.arguments, "--signature-policy", file.as_os_str());
    }

    fn call(&self, command: &[&str]) -> Invocation {
        let mut arguments: Vec<OsString> = vec!["--storage-driver".into(), "overlay".into()];
        option(&mut arguments, "--root", self.store.root.as_os_str());
        option(&mut arguments, "--runroot", self.store.run_root.as_os_str());
        if self.store.root != self.shared_root {
            let value = prefixed("additionalimagestore=", &self.shared_root);
            option(&mut arguments, "--storage-opt", &value);
        }
        let registries = self.settings.join("registries.conf");
        option(&mut arguments, "--registries-conf", registries.as_os_str());
        let directory = self.settings.join("registries.conf.d");
        option(&mut arguments, "--registries-conf-dir", directory.as_os_str());
        arguments.extend(command.iter().map(OsString::from));
        Invocation {
            program: self.config.tools.buildah.clone(),
            arguments,
            environment: self.environment(),
        }
    }

    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let settings = |name: &str| self.settings.join(name).into_os_string();
        let mut environment: BTreeMap<OsString, OsString> = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            ),
            ("LC_ALL", "C.UTF-8".into()),
            ("HOME", self.settings.into()),
            ("TMPDIR", self.store.tmp.as_os_str().to_owned()),
            (
                "BUILDAH_RUNTIME",
                self.config.tools.runtime.as_os_str().to_owned(),
            ),
            ("CONTAINERS_CONF", settings("containers.conf")),
            ("CONTAINERS_STORAGE_CONF", settings("storage.conf")),
            ("REGISTRY_AUTH_FILE", settings("auth.json")),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
        for (name, value) in self.config.operator.for_host_tools() {
            if is_proxy(&name) || name == "SSL_CERT_FILE" {
                environment.insert(name.into(), value.into());
            }
        }
        environment
    }
}

/// The operator's variables that have to be declared by an `ARG` to be seen by a step: all but the proxies, which buildah forwards itself.
pub(crate) fn declared_step_variables(config: &DockerfileConfig) -> BTreeMap<String, String> {
    config
        .operator
        .for_containers()
        .variables
        .into_iter()
        .filter(|(name, _)| !is_proxy(name))
        .map(|(name, value)| match value.as_str() {
            CONTAINER_CA_BUNDLE => (name, CA_BUNDLE_IN_STEP.to_owned()),
            _ => (name, value),
        })
        .collect()
}

fn is_proxy(name: &str) -> bool {
    PROXY_VARIABLES.contains(&name)
}

fn option(arguments: &mut Vec<OsString>, name: &str, value: &std::ffi::OsStr) {
    arguments.extend([name.into(), value.into()]);
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_steer_our_tools_are_reserved() {
        for name in [
            "LD_PRELOAD",
            "PATH",
            "CONTAINERS_CONF",
            "BUILDAH_RUNTIME",
            "GODEBUG",
            "https_proxy",
            "LC_ALL",
            "a-b",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "NODE_ENV",
            "API_KEY",
            "DATABASE_URL",
            "SSH_PRIVATE_KEY",
            "GOOGLE_API_KEY",
            "BUILD_ID",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}

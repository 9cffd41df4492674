//! The `git` program: how it is run, and with which configuration. No other file starts it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::Path,
    process::Stdio,
    time::Duration,
};

use data_encoding::BASE64;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::{CloneUrl, SourceSettings, clone_url::Transport};

/// More than any listing of a sane repository; a bigger one is cut, and the operation fails on it.
const STDOUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const STDERR_BYTES_MAX: u64 = 256 * 1024;
/// Local commands (no network) that take longer have met a broken disk.
const LOCAL_DEADLINE: Duration = Duration::from_mins(5);

/// How to run git here.
#[derive(Debug)]
pub(crate) struct Git {
    environment: BTreeMap<OsString, OsString>,
    fetch_timeout: Duration,
}

/// What a git process left.
#[derive(Debug)]
pub(crate) struct GitOutput {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git could not be started")]
    Start(#[source] io::Error),
    #[error("git's output could not be read")]
    Read(#[source] io::Error),
    #[error("git did not end within {0:?}")]
    TimedOut(Duration),
    #[error("git {command} failed: {message}")]
    Failed { command: String, message: String },
}

impl Git {
    pub(crate) fn prepare(settings: &SourceSettings) -> io::Result<Self> {
        fs::create_dir_all(&settings.directory)?;
        let configuration = settings.directory.join("git.conf");
        let hooks = settings.directory.join("no-hooks");
        fs::create_dir_all(&hooks)?;
        fs::write(&configuration, configuration_text(&hooks))?;
        Ok(Self {
            environment: environment(settings, &configuration),
            fetch_timeout: settings.fetch_timeout,
        })
    }

    /// A command on files of this machine.
    pub(crate) async fn local<S: AsRef<OsStr>>(
        &self,
        variables: &[(&str, &Path)],
        arguments: &[S],
    ) -> Result<GitOutput, GitError> {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        run(command, LOCAL_DEADLINE).await
    }

    /// A local command whose failure is a fault of ours; gives its output as text.
    pub(crate) async fn local_text<S: AsRef<OsStr>>(
        &self,
        variables: &[(&str, &Path)],
        arguments: &[S],
    ) -> Result<String, GitError> {
        let output = self.local(variables, arguments).await?;
        if output.success {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let command = arguments
            .first()
            .map(|word| word.as_ref().to_string_lossy().into_owned());
        Err(GitError::Failed {
            command: command.unwrap_or_default(),
            message: output.stderr.trim().to_owned(),
        })
    }

    /// A command that talks to the repository at `url`; the credentials go through the environment.
    pub(crate) async fn remote<S: AsRef<OsStr>>(
        &self,
        url: &CloneUrl,
        variables: &[(&str, &Path)],
        arguments: &[S],
    ) -> Result<GitOutput, GitError> {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        command.envs(credential_variables(url));
        run(command, self.fetch_timeout).await
    }

    pub(crate) fn fetch_timeout(&self) -> Duration {
        self.fetch_timeout
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        command
    }
}

/// Neither the machine's nor the user's git configuration counts: the same source gives the same files everywhere.
fn environment(settings: &SourceSettings, configuration: &Path) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = [
        (
            "PATH",
            OsString::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ),
        ("HOME", settings.directory.clone().into()),
        ("LC_ALL", "C".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        // A file and not GIT_CONFIG_COUNT: the process on the other side of a local clone does not inherit the latter.
        ("GIT_CONFIG_GLOBAL", configuration.into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("GIT_ASKPASS", "/bin/false".into()),
        ("GIT_ALLOW_PROTOCOL", "http:https:ssh:file".into()),
        ("GIT_LFS_SKIP_SMUDGE", "1".into()),
        (
            "GIT_SSH_COMMAND",
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20".into(),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (OsString::from(name), value))
    .collect();
    if let Some(bundle) = &settings.ca_bundle {
        environment.insert("GIT_SSL_CAINFO".into(), bundle.into());
    }
    environment.extend(
        settings
            .proxies
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    environment
}

/// `safe.directory`: sources on this machine belong to somebody else than the server. The file transport stays closed for anything
/// that git would start by itself; submodules are fetched by us, one by one.
fn configuration_text(hooks: &Path) -> String {
    format!(
        "[core]\n\thooksPath = {}\n\tfsmonitor = false\n\tsymlinks = true\n\tautocrlf = false\n\
         [safe]\n\tdirectory = *\n\
         [gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n\
         [advice]\n\tdetachedHead = false\n\
         [uploadpack]\n\tallowAnySHA1InWant = true\n\
         [http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n\
         [credential]\n\thelper =\n",
        hooks.display()
    )
}

/// The header is bound to the URL's host, so that a redirect to another one does not carry it along.
fn credential_variables(url: &CloneUrl) -> Vec<(OsString, OsString)> {
    let Some(credentials) = url.credentials().filter(|_| url.transport() == Transport::Http) else {
        return Vec::new();
    };
    let pair = format!("{}:{}", credentials.user, credentials.password);
    let header = format!("Authorization: Basic {}", BASE64.encode(pair.as_bytes()));
    let key = format!("http.{}/.extraHeader", url.host_prefix());
    [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", &key),
        ("GIT_CONFIG_VALUE_0", &header),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

async fn run(mut command: Command, deadline: Duration) -> Result<GitOutput, GitError> {
    let mut child = command.spawn().map_err(GitError::Start)?;
    let group = ProcessGroup::of(&child);
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let all = async {
        let (stdout, stderr) = tokio::try_join!(
            read_up_to(stdout, STDOUT_BYTES_MAX),
            read_up_to(stderr, STDERR_BYTES_MAX)
        )
        .map_err(GitError::Read)?;
        let status = child.wait().await.map_err(GitError::Read)?;
        Ok(GitOutput {
            success: status.success(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    };
    let result = tokio::time::timeout(deadline, all)
        .await
        .unwrap_or(Err(GitError::TimedOut(deadline)));
    if result.is_ok() {
        group.disarm();
    }
    result
}

async fn read_up_to(reader: impl AsyncRead + Unpin, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = reader.take(bytes_max);
    limited.read_to_end(&mut bytes).await?;
    // The rest is read away, or the child would block on a full pipe until the deadline.
    tokio::io::copy(limited.get_mut(), &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// Kills git's helpers (git-remote-https, ssh, upload-pack) too when a build is canceled or a deadline passes.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing is left to be killed when the group is already gone.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl From<GitError> for mainstay_diagnosis::facts::BuildFault {
    fn from(error: GitError) -> Self {
        super::platform_fault("reading the source", &error)
    }
}

/// `GIT_DIR` of a bare repository.
pub(crate) fn git_dir(path: &Path) -> [(&'static str, &Path); 1] {
    [("GIT_DIR", path)]
}

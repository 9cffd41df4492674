//! Runs the tools of databases in an instance and passes bytes through. What a tool says is told in one line; what is in a table is not.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{SinkExt, StreamExt};
use mainstay_diagnosis::{
    exit_codes,
    facts::{ExecFault, Termination},
};
use mainstay_engine::{Engine, ExecInput, ExecOutput, ExecRequest, ExecSession, InstanceState};
use mainstay_spec::ids::InstanceId;
use mainstay_store::BackupFailure;
use tokio::time::timeout;

use super::{failure::Failed, file::Stored, packed::Unpacked};

/// The end of what a tool complains about.
const COMPLAINTS_BYTES_MAX: usize = 8 * 1024;
const COMPLAINT_LETTERS_MAX: usize = 300;
/// What a question may have as its answer: counts of many thousand tables.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A killed process's instance is over by then.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// What a tool reads.
pub(in crate::databases) enum Input {
    Nothing,
    Text(String),
    File(Box<Stored>),
    Packed(Box<Unpacked>),
}

impl Input {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(std::mem::take(text).into_bytes()).filter(|text| !text.is_empty())),
            Self::File(file) => file.next().await,
            Self::Packed(file) => file.next().await,
        }
    }
}

/// Where its output goes.
pub(in crate::databases) trait Sink: Send {
    fn take(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// Output that is an answer, not data.
#[derive(Debug, Default)]
pub(in crate::databases) struct Answer(Vec<u8>);

impl Answer {
    pub(in crate::databases) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl Sink for Answer {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        if self.0.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(Failed::new(
                BackupFailure::Platform,
                "a tool's answer is too long",
            ));
        }
        self.0.extend(bytes);
        Ok(())
    }
}

/// A tool, and what it is if it fails.
pub(in crate::databases) struct Tool<'a> {
    engine: &'a dyn Engine,
    instance: InstanceId,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    failure: BackupFailure,
    quotes_data: bool,
}

impl<'a> Tool<'a> {
    /// Everybody may read `argv`.
    pub(super) fn new(
        engine: &'a dyn Engine,
        instance: InstanceId,
        argv: Vec<String>,
        failure: BackupFailure,
    ) -> Self {
        Self {
            engine,
            instance,
            argv,
            env: BTreeMap::new(),
            failure,
            quotes_data: false,
        }
    }

    pub(in crate::databases) fn with_env(mut self, env: &[(&str, &str)]) -> Self {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.env = env.collect();
        self
    }

    /// Its complaints may have what is in a table in quotation marks.
    pub(in crate::databases) fn that_quotes_data(mut self) -> Self {
        self.quotes_data = true;
        self
    }
}

impl Tool<'_> {
    /// Runs it to its end. Dropped, the tool is hung up and killed.
    pub(in crate::databases) async fn run(self, input: Input, sink: &mut impl Sink) -> Result<(), Failed> {
        let request = ExecRequest {
            argv: self.argv.clone(),
            env: self.env.clone(),
            terminal: None,
        };
        let session = self.engine.exec(self.instance, request).await?;
        let (ended, complaints) = pass(session, input, sink).await?;
        if matches!(ended, Ok(Termination::Exited { code: 0 })) {
            return Ok(());
        }
        Err(Failed::new(self.failure, self.story(ended, &complaints).await))
    }

    async fn story(&self, ended: Result<Termination, ExecFault>, complaints: &str) -> String {
        let program = self.argv.first().and_then(|path| path.rsplit('/').next());
        let program = program.unwrap_or_default();
        let how = match ended {
            Ok(termination) => exit_codes::termination_story(Some(termination)),
            Err(_) => "could not be run to its end".to_owned(),
        };
        let mut story = format!("{program} {how}");
        if let Some(complaint) = telling(complaints) {
            let complaint = if self.quotes_data {
                before_quoted(&complaint)
            } else {
                complaint
            };
            story = format!("{story}: {complaint}");
        }
        if self.was_killed_for_memory().await {
            story.push_str("; the memory of its instance was full");
        }
        story
    }

    async fn was_killed_for_memory(&self) -> bool {
        let looked = timeout(ENDS_WITHIN, async {
            let status = self.engine.status(self.instance).await.ok()??;
            if status.state == InstanceState::Running {
                let stats = self.engine.stats(self.instance).await.ok()?;
                return Some(!stats.memory.kills.is_empty());
            }
            Some(status.exit.is_some_and(|exit| !exit.memory.kills.is_empty()))
        });
        looked.await.ok().flatten().unwrap_or(false)
    }
}

/// The command that writes what it reads to a file; at its end that is on disk.
pub(super) fn write_file(path: &str) -> Vec<String> {
    let file = format!("of={path}");
    [
        "/usr/bin/dd",
        &file,
        "bs=256K",
        "iflag=fullblock",
        "conv=fsync",
        "status=none",
    ]
    .map(Into::into)
    .into()
}

/// Both ways at once, until it ended; how, and what it complained about.
async fn pass(
    session: ExecSession,
    mut source: Input,
    sink: &mut impl Sink,
) -> Result<(Result<Termination, ExecFault>, String), Failed> {
    let ExecSession {
        mut output,
        mut input,
    } = session;
    let feed = async move {
        while let Some(bytes) = source.next().await? {
            // One that reads no more says at its end why.
            if input.send(ExecInput::Stdin(bytes)).await.is_err() {
                return Ok(input);
            }
        }
        drop(input.send(ExecInput::CloseStdin).await);
        Ok::<_, Failed>(input)
    };
    let drain = async move {
        let mut complaints = Vec::new();
        while let Some(item) = output.next().await {
            match item {
                ExecOutput::Stdout(bytes) => sink.take(bytes).await?,
                ExecOutput::Stderr(bytes) => {
                    complaints.extend(bytes);
                    let surplus = complaints.len().saturating_sub(COMPLAINTS_BYTES_MAX);
                    complaints.drain(..surplus);
                }
                ExecOutput::Ended(ended) => {
                    return Ok((ended, String::from_utf8_lossy(&complaints).into_owned()));
                }
            }
        }
        Err(Failed::new(
            BackupFailure::Platform,
            "nobody said how a tool ended",
        ))
    };
    tokio::pin!(feed, drain);
    let held = tokio::select! {
        ended = &mut drain => return ended,
        fed = &mut feed => fed?,
    };
    let ended = drain.await;
    // Until here: both halves dropped are a hang-up.
    drop(held);
    ended
}

/// The line that says what is wrong. The lines after it may quote what is in a table.
fn telling(complaints: &str) -> Option<String> {
    let lines = || complaints.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_telling = |line: &&str| {
        ["error:", "ERROR:", "ERROR ", "FATAL:"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = lines().find(is_telling).or_else(|| lines().next_back())?;
    Some(line.chars().take(COMPLAINT_LETTERS_MAX).collect())
}

/// Up to the first quotation mark: what is quoted may have any letter in it.
fn before_quoted(complaint: &str) -> String {
    match complaint.split_once('\'') {
        Some((before, _)) => format!("{before}…"),
        None => complaint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_table_is_not_told() {
        let said = "pg_restore: while PROCESSING TOC:\n\
                    pg_restore: error: COPY failed for table \"a\": ERROR:  duplicate key value violates unique constraint \"a_pkey\"\n\
                    DETAIL:  Key (mail)=(a@example.com) already exists.\n\
                    CONTEXT:  COPY a, line 2\n";
        let told = telling(said).unwrap();
        assert!(
            told.contains("duplicate key") && !told.contains("example.com"),
            "{told}"
        );
        assert_eq!(telling("killed\n\n").as_deref(), Some("killed"));
        assert_eq!(telling("\n"), None);
        let quoted = "ERROR 1062 (23000) at line 2: Duplicate entry 'o'neil@example.com' for key 'mail'";
        assert_eq!(
            before_quoted(&telling(quoted).unwrap()),
            "ERROR 1062 (23000) at line 2: Duplicate entry …"
        );
        assert_eq!(before_quoted("nothing"), "nothing");
    }
}

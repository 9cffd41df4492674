//! A server of its own, on a volume of its own, that nobody reaches: what was taken of a database is restored into it, and counted. How, its
//! engine knows; this is what engines do it with.

use std::time::Duration;

use mainstay_diagnosis::facts::{StopReason, Termination};
use mainstay_engine::{InstanceSpec, InstanceState};
use mainstay_images::stack::USER_ID;
use mainstay_spec::ids::InstanceId;
use mainstay_store::{BackupFailure, DatabaseRow};
use tokio::time::{Instant, sleep, timeout};

use super::{
    super::{
        keeper::{ended, run_to_end},
        volume,
    },
    failure::Failed,
    instances::{Ground, ScratchVolume},
    tool::{Answer, Input, Tool, write_file},
    traces::Traces,
};
use crate::platform::Platform;

/// Writing a checkpoint of all that was restored.
const STOPS_WITHIN: Duration = Duration::from_mins(5);
const STARTS_WITHIN: Duration = Duration::from_mins(2);
/// A server that takes a connection and says nothing is asked again.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// Its volume is there, and one instance at a time works on it.
pub(in crate::databases) struct Scratch<'a> {
    platform: &'a Platform,
    ground: &'a Ground<'a>,
    volume: &'a ScratchVolume,
    traces: &'a Traces,
    /// The last that was started.
    instance: InstanceId,
}

impl<'a> Scratch<'a> {
    /// With an empty volume. All that is made is noted in `traces`.
    pub(super) async fn make(
        platform: &'a Platform,
        ground: &'a Ground<'a>,
        volume: &'a ScratchVolume,
        traces: &'a Traces,
    ) -> Result<Self, Failed> {
        traces.add_file(&volume.image.with_extension(volume::DRAFT));
        traces.add_file(&volume.image);
        let bytes = ground.place.row.volume_bytes;
        volume::make(&volume.image, volume.id, bytes, USER_ID).await?;
        Ok(Self {
            platform,
            ground,
            volume,
            traces,
            instance: InstanceId::from_uuid(uuid::Uuid::nil()),
        })
    }

    pub(in crate::databases) fn row(&self) -> &'a DatabaseRow {
        self.ground.place.row
    }

    /// Of each of its instances.
    pub(in crate::databases) fn memory_bytes(&self) -> u64 {
        self.ground.place.config.memory_bytes
    }

    /// Whether what is written has to be on disk: it is to be the database's data.
    pub(in crate::databases) fn is_durable(&self) -> bool {
        self.volume.is_durable
    }

    /// Runs a command that ends by itself. No server may be running.
    pub(in crate::databases) async fn run(&self, argv: Vec<String>) -> Result<(), Failed> {
        let command = self.ground.command(self.traces.new_instance(), self.volume, argv);
        let ran = run_to_end(self.platform, command).await?;
        ran.map_err(|trouble| {
            let message = format!("no scratch server could be made: {}", trouble.message);
            Failed::new(BackupFailure::Restore, message)
        })
    }

    /// Writes files, each at its path. No server may be running.
    pub(in crate::databases) async fn write(&mut self, files: Vec<(String, Input)>) -> Result<(), Failed> {
        let idle = self.ground.idle_on(self.traces.new_instance(), self.volume);
        self.start(idle).await?;
        for (path, content) in files {
            let tool = self.tool(write_file(&path));
            tool.run(content, &mut Answer::default()).await?;
        }
        let engine = &self.platform.engine;
        engine
            .stop(self.instance, StopReason::Requested, Duration::ZERO)
            .await?;
        self.remove().await
    }

    /// Writes a file beside a server that runs.
    pub(in crate::databases) async fn write_beside(&self, path: &str, text: String) -> Result<(), Failed> {
        self.tool(write_file(path))
            .run(Input::Text(text), &mut Answer::default())
            .await
    }

    /// Starts the server, which ends in order at its engine's signal.
    pub(in crate::databases) async fn serve(&mut self, argv: Vec<String>) -> Result<(), Failed> {
        let serve = self.ground.serve(self.traces.new_instance(), self.volume, argv);
        self.start(serve).await
    }

    async fn start(&mut self, spec: InstanceSpec) -> Result<(), Failed> {
        self.instance = spec.id;
        self.platform.engine.start(spec).await?;
        Ok(())
    }

    /// Waits until the server answers a tool that asks it.
    pub(in crate::databases) async fn ready(&self, ask: impl Fn() -> Tool<'a>) -> Result<(), Failed> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let mut answer = Answer::default();
            let asked = timeout(ANSWERS_WITHIN, ask().run(Input::Nothing, &mut answer));
            let asked = asked.await.unwrap_or_else(|_| {
                let message = "the scratch server does not answer";
                Err(Failed::new(BackupFailure::Restore, message))
            });
            let Err(silent) = asked else { return Ok(()) };
            if let Some(ended) = self.ended().await? {
                return Err(ended);
            }
            if silent.kind == BackupFailure::Platform || Instant::now() > deadline {
                return Err(silent);
            }
            sleep(ASKED_EVERY).await;
        }
    }

    /// Why there is no server any more, if there is none.
    async fn ended(&self) -> Result<Option<Failed>, Failed> {
        let status = self.platform.engine.status(self.instance).await?;
        let Some(status) = status.filter(|status| status.state != InstanceState::Running) else {
            return Ok(None);
        };
        let trouble = ended(self.platform, self.instance, status.exit.as_ref()).await;
        let message = format!("the scratch server did not start: {}", trouble.message);
        Ok(Some(Failed::new(BackupFailure::Restore, message)))
    }

    /// Runs beside the server.
    pub(in crate::databases) fn tool(&self, argv: Vec<String>) -> Tool<'a> {
        Tool::new(
            &*self.platform.engine,
            self.instance,
            argv,
            BackupFailure::Restore,
        )
    }

    /// Everything is on the volume then, as of a server that was told to end.
    pub(super) async fn stop(self) -> Result<(), Failed> {
        let engine = &self.platform.engine;
        let exit = engine
            .stop(self.instance, StopReason::Requested, STOPS_WITHIN)
            .await?;
        self.remove().await?;
        if exit.termination == Some(Termination::Exited { code: 0 }) {
            Ok(())
        } else {
            Err(Failed::new(
                BackupFailure::Restore,
                "the scratch server did not end well",
            ))
        }
    }

    async fn remove(&self) -> Result<(), Failed> {
        self.platform.engine.remove(self.instance).await?;
        self.platform.engine.forget(self.instance).await?;
        Ok(())
    }
}

//! Stacks: the base images that buildpack builds start from, made from Debian packages.
//!
//! ```text
//!  build   compilers, headers, git, python3      overlay layer: apt installed into it, on top of
//!  run     what a running app needs              mmdebstrap
//! ```
//!
//! A stack is made once, on first use, and kept with its date until somebody asks for a newer one; name and date are part of every build key.

mod bootstrap;
mod sets;
mod tools;

use std::{path::PathBuf, sync::Arc, time::Instant};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    debian::{DebianError, apt::AptRoot, sources::Sources},
    record::{ImageConfig, ImageRecord, LayerId},
    settings::OperatorSettings,
    store::{ImageStore, LayerDraft, LayerKey, Pinned, StoreError, files},
};

/// The user that buildpack builds and their apps run as; the stack knows it by name.
pub const USER_NAME: &str = "apps";
pub const USER_ID: u32 = 1000;
pub const USER_HOME: &str = "/workspace";

/// A stack: two images, of which `build` is `run` with one layer more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackImage {
    /// "debian-12 2026-11-22".
    pub id: String,
    /// "debian-12".
    pub name: String,
    /// "bookworm".
    pub suite: String,
    pub run: ImageRecord,
    pub build: ImageRecord,
}

/// Receives one line for each step.
type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The Debian suite of the stack by the operator's settings: "bookworm".
pub fn suite(settings: &OperatorSettings) -> String {
    Sources::of_machine(&settings.debian).suite
}

/// The stack by the operator's settings, if it has been made.
pub fn kept(store: &ImageStore, settings: &OperatorSettings) -> Result<Option<StackImage>, StoreError> {
    let path = record_path(store, &Sources::of_machine(&settings.debian).stack_name());
    if path.exists() {
        files::read_record(&path).map(Some)
    } else {
        Ok(None)
    }
}

/// The stack by the operator's settings; made now if there is none (about a minute, lines go to `progress`). A caller who goes away does
/// not end the making: the next one finds it done.
pub async fn ensure(
    store: &ImageStore,
    settings: &OperatorSettings,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<StackImage, DebianError> {
    match kept(store, settings)? {
        Some(stack) => Ok(stack),
        None => make_apart(store, settings, Arc::new(progress), true).await,
    }
}

/// Makes the stack anew from today's packages. Images built on the old one stay as they are.
pub async fn refresh(
    store: &ImageStore,
    settings: &OperatorSettings,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<StackImage, DebianError> {
    make_apart(store, settings, Arc::new(progress), false).await
}

async fn make_apart(
    store: &ImageStore,
    settings: &OperatorSettings,
    progress: Progress,
    kept_will_do: bool,
) -> Result<StackImage, DebianError> {
    let (store, settings) = (store.clone(), settings.clone());
    let making = async move {
        let _one_at_a_time = store.hold(&LayerKey::new("stack", [])).await;
        match kept(&store, &settings)? {
            Some(stack) if kept_will_do => Ok(stack),
            _ => make(&store, &settings, &progress).await,
        }
    };
    tokio::spawn(making).await.map_err(|_| StoreError::Interrupted)?
}

async fn make(
    store: &ImageStore,
    settings: &OperatorSettings,
    progress: &Progress,
) -> Result<StackImage, DebianError> {
    let sources = Sources::of_machine(&settings.debian);
    let name = sources.stack_name();
    let started = Instant::now();
    let say = |text: &str| progress(&format!("stack {name}: {text}"));
    say(&format!("making it from Debian {} packages, once", sources.suite));
    let (base, tools) = (store.begin_layer()?, store.begin_layer()?);
    let apt = AptRoot::create(&tools.scratch("apt")?, sources.clone(), settings)?;
    let (made, fetched) = tokio::join!(
        bootstrap::fill(&base, &sources, settings, &say),
        tools::prefetch(&apt, tools.scratch("apt")?),
    );
    made?;
    fetched?;
    say(&format!(
        "base system done after {} s, installing build tools",
        started.elapsed().as_secs()
    ));
    let base = commit(base).await?;
    tools::fill(&tools, &store.layer_path(&base)?, &apt).await?;
    let tools = commit(tools).await?;
    let stack = keep(store, &sources, base, tools)?;
    say(&format!("ready after {} s", started.elapsed().as_secs()));
    Ok(stack)
}

async fn commit(draft: LayerDraft) -> Result<LayerId, StoreError> {
    tokio::task::spawn_blocking(move || draft.commit(None))
        .await
        .map_err(|_| StoreError::Interrupted)?
}

/// Records both images, pins them, and makes them the stack of that name.
fn keep(
    store: &ImageStore,
    sources: &Sources,
    base: LayerId,
    tools: LayerId,
) -> Result<StackImage, StoreError> {
    let now = Timestamp::now();
    let name = sources.stack_name();
    let id = format!("{name} {}", now.to_zoned(TimeZone::UTC).date());
    let image = |kind: &str, layers: Vec<LayerId>| ImageRecord {
        id: store.new_image_id(),
        layers,
        config: config(),
        created_at: now,
        origin: format!("stack {id}, {kind} image"),
        digest: None,
    };
    let stack = StackImage {
        run: image("run", vec![base.clone()]),
        build: image("build", vec![base, tools]),
        id: id.clone(),
        suite: sources.suite.clone(),
        name: name.clone(),
    };
    store.put_image(&stack.run)?;
    store.put_image(&stack.build)?;
    let images = vec![stack.run.id.clone(), stack.build.id.clone()];
    store.pin(
        &format!("stack {name}"),
        Pinned {
            images,
            layers: Vec::new(),
        },
    )?;
    let path = record_path(store, &name);
    files::create_directory(path.parent().expect("records lie in a directory"), 0o700)?;
    files::write_record(&path, &stack)?;
    Ok(stack)
}

fn config() -> ImageConfig {
    let variables = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("LANG", "C.UTF-8"),
    ];
    ImageConfig {
        env: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        working_dir: Some(USER_HOME.to_owned()),
        user: Some(format!("{USER_ID}:{USER_ID}")),
        ..ImageConfig::default()
    }
}

fn record_path(store: &ImageStore, name: &str) -> PathBuf {
    store.root().join("records/stacks").join(format!("{name}.json"))
}

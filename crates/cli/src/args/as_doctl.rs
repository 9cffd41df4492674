//! `mainstay apps` by the names that doctl has.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Logs, Spec};

/// What doctl has below `apps`, and we have elsewhere as well.
#[derive(Debug, Subcommand)]
pub(crate) enum AsDoctl {
    /// Deploy the newest source.
    #[command(visible_alias = "cd")]
    CreateDeployment {
        app: String,
        /// Build even though nothing changed, without caches.
        #[arg(long)]
        force_rebuild: bool,
        /// Wait until it serves.
        #[arg(long)]
        wait: bool,
    },
    /// Show the logs of an app, as `mainstay logs`.
    #[command(visible_alias = "l")]
    Logs(Logs),
    /// Open a shell in an instance.
    #[command(visible_alias = "cs")]
    Console {
        app: String,
        component: String,
        /// `web-0`; the first running instance when not given.
        instance: Option<String>,
        #[arg(long, conflicts_with = "instance")]
        instance_name: Option<String>,
    },
    /// App specs.
    #[command(subcommand)]
    Spec(Spec),
    #[command(flatten)]
    Question(Question),
}

/// What ends well when it was answered.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Show a deployment.
    #[command(visible_alias = "gd")]
    GetDeployment { app: String, deployment: String },
    /// List the deployments, newest first.
    #[command(visible_alias = "lsd")]
    ListDeployments { app: String },
    /// List the runs of an app's jobs, newest first.
    #[command(visible_alias = "lsji")]
    ListJobInvocations {
        app: String,
        /// Of this deployment only.
        #[arg(long)]
        deployment: Option<String>,
        /// Of this job only; may be given several times.
        #[arg(long)]
        job_name: Vec<String>,
    },
    /// Show a run of a job.
    #[command(visible_alias = "gji")]
    GetJobInvocation { app: String, invocation: String },
    /// End a run of a job before its time.
    #[command(visible_alias = "cji")]
    CancelJobInvocation { app: String, invocation: String },
    /// List an app's events: its deployments.
    #[command(visible_alias = "lse")]
    ListEvents {
        app: String,
        /// Of this type only.
        #[arg(long, value_parser = ["deployment", "autoscaling"], ignore_case = true)]
        event_type: Option<String>,
    },
    /// Show an event.
    #[command(visible_alias = "ge")]
    GetEvent { app: String, event: String },
    /// Call off what an event is about.
    #[command(visible_alias = "ce")]
    CancelEvent { app: String, event: String },
    /// List the regions: the one that this machine is.
    ListRegions,
    /// List the buildpacks.
    ListBuildpacks,
    /// Ask for the latest version of a buildpack, which every build takes by itself.
    UpgradeBuildpack {
        app: String,
        #[arg(long)]
        buildpack: String,
        /// The latest when it is not given.
        #[arg(long, default_value_t = 0)]
        major_version: u32,
        /// Deploy components again that were upgraded.
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        trigger_deployment: bool,
    },
    /// Ask what a spec would become, without creating anything.
    #[command(visible_alias = "p")]
    Propose {
        /// The spec's file; `-` is standard input.
        #[arg(long)]
        spec: PathBuf,
        /// The app that it is an update of.
        #[arg(long)]
        app: Option<String>,
    },
    /// List the alerts.
    #[command(visible_alias = "la")]
    ListAlerts { app: String },
    /// Say who is told of an alert.
    #[command(visible_alias = "uad")]
    UpdateAlertDestinations {
        app: String,
        alert: String,
        /// A file (YAML or JSON; `-` is standard input) with `emails` and `slack_webhooks`.
        #[arg(long)]
        app_alert_destinations: PathBuf,
    },
    /// What there is to choose from.
    #[command(subcommand)]
    Tier(Tier),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tier {
    /// List the tiers.
    #[command(visible_alias = "ls")]
    List,
    /// Show a tier.
    #[command(visible_alias = "g")]
    Get { slug: String },
    /// Sizes of instances.
    #[command(subcommand)]
    InstanceSize(InstanceSizes),
}

#[derive(Debug, Subcommand)]
pub(crate) enum InstanceSizes {
    /// List the sizes.
    #[command(visible_alias = "ls")]
    List,
    /// Show a size.
    #[command(visible_alias = "g")]
    Get { slug: String },
}

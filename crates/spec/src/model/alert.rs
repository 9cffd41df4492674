//! Alert rules.

use crate::decode::{choice, object};

object! {
    "an alert": pub struct Alert {
        pub rule: Option<AlertRule>,
        pub disabled: bool,
        pub operator: Option<AlertOperator>,
        pub value: f64,
        pub window: Option<AlertWindow>,
    }
}

choice! {
    pub enum AlertRule {
        Unspecified = "UNSPECIFIED_RULE",
        CpuUtilization = "CPU_UTILIZATION",
        MemUtilization = "MEM_UTILIZATION",
        RestartCount = "RESTART_COUNT",
        DeploymentFailed = "DEPLOYMENT_FAILED",
        DeploymentLive = "DEPLOYMENT_LIVE",
        DeploymentStarted = "DEPLOYMENT_STARTED",
        DeploymentCanceled = "DEPLOYMENT_CANCELED",
        DomainFailed = "DOMAIN_FAILED",
        DomainLive = "DOMAIN_LIVE",
        AutoscaleFailed = "AUTOSCALE_FAILED",
        AutoscaleSucceeded = "AUTOSCALE_SUCCEEDED",
        JobInvocationFailed = "JOB_INVOCATION_FAILED",
        FunctionsActivationCount = "FUNCTIONS_ACTIVATION_COUNT",
        FunctionsAverageDurationMs = "FUNCTIONS_AVERAGE_DURATION_MS",
        FunctionsErrorRatePerMinute = "FUNCTIONS_ERROR_RATE_PER_MINUTE",
        FunctionsAverageWaitTimeMs = "FUNCTIONS_AVERAGE_WAIT_TIME_MS",
        FunctionsErrorCount = "FUNCTIONS_ERROR_COUNT",
        FunctionsGbRatePerSecond = "FUNCTIONS_GB_RATE_PER_SECOND",
        RequestsPerSecond = "REQUESTS_PER_SECOND",
        RequestDurationP95Ms = "REQUEST_DURATION_P95_MS",
    }
}

choice! {
    pub enum AlertOperator {
        Unspecified = "UNSPECIFIED_OPERATOR",
        GreaterThan = "GREATER_THAN",
        LessThan = "LESS_THAN",
    }
}

choice! {
    pub enum AlertWindow {
        Unspecified = "UNSPECIFIED_WINDOW",
        FiveMinutes = "FIVE_MINUTES",
        TenMinutes = "TEN_MINUTES",
        ThirtyMinutes = "THIRTY_MINUTES",
        OneHour = "ONE_HOUR",
    }
}

impl AlertRule {
    /// Whether this version tells when it applies.
    pub fn is_watched(self) -> bool {
        matches!(
            self,
            Self::DeploymentFailed
                | Self::DeploymentLive
                | Self::DeploymentStarted
                | Self::DeploymentCanceled
                | Self::JobInvocationFailed
        ) || self.is_measured()
    }

    /// True for rules about what is measured of a component's instances: they hold, or do not, over a window.
    pub fn is_measured(self) -> bool {
        matches!(
            self,
            Self::CpuUtilization | Self::MemUtilization | Self::RestartCount
        )
    }

    /// True for rules about the app as a whole, which have no threshold.
    pub fn is_about_app(self) -> bool {
        matches!(
            self,
            Self::DeploymentFailed
                | Self::DeploymentLive
                | Self::DeploymentStarted
                | Self::DeploymentCanceled
                | Self::DomainFailed
                | Self::DomainLive
                | Self::AutoscaleFailed
                | Self::AutoscaleSucceeded
        )
    }
}

impl AlertWindow {
    /// How long it is; `None` where nothing was said.
    pub fn minutes(self) -> Option<u32> {
        match self {
            Self::Unspecified => None,
            Self::FiveMinutes => Some(5),
            Self::TenMinutes => Some(10),
            Self::ThirtyMinutes => Some(30),
            Self::OneHour => Some(60),
        }
    }
}

//! Everything that the router answers by itself instead of passing a request on: one status and one name each, chosen here only.

use http::StatusCode;

use crate::snapshot::Unavailable;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    // What was sent cannot be taken.
    HostMissing,
    HostRepeated,
    HostInvalid,
    HostDiffersFromTarget,
    HeaderTooLong,
    PathAmbiguous,
    TransferCodingUnknown,
    MethodNotAllowed,
    BodyBroken,
    // Nothing is there.
    HostUnknown,
    CandidateUnknown,
    RouteUnknown,
    FileUnknown,
    // The app cannot serve.
    Unavailable(Unavailable),
    EndpointSaturated,
    UpstreamRefused,
    UpstreamUnreachable,
    UpstreamConnectTimeout,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamSilent,
    // A fault of the router.
    StaticUnreadable,
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostDiffersFromTarget
            | Self::PathAmbiguous
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::HeaderTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TransferCodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::HostUnknown | Self::CandidateUnknown | Self::RouteUnknown | Self::FileUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::Unavailable(unavailable) => {
                StatusCode::from_u16(unavailable.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::EndpointSaturated => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamRefused
            | Self::UpstreamUnreachable
            | Self::UpstreamClosed
            | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamConnectTimeout | Self::UpstreamSilent => StatusCode::GATEWAY_TIMEOUT,
            Self::StaticUnreadable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `mainstay-detail` header, the log and the counters use this name.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostDiffersFromTarget => "host_differs_from_target",
            Self::HeaderTooLong => "header_too_long",
            Self::PathAmbiguous => "path_ambiguous",
            Self::TransferCodingUnknown => "transfer_coding_unknown",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyBroken => "body_broken",
            Self::HostUnknown => "host_unknown",
            Self::CandidateUnknown => "candidate_unknown",
            Self::RouteUnknown => "route_unknown",
            Self::FileUnknown => "file_unknown",
            Self::Unavailable(_) => "unavailable",
            Self::EndpointSaturated => "endpoint_saturated",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamConnectTimeout => "upstream_connect_timeout",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::UpstreamSilent => "upstream_silent",
            Self::StaticUnreadable => "static_unreadable",
        }
    }

    /// The code of the error reference, for the `mainstay-reason` header.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unavailable(unavailable) => unavailable.code.as_deref(),
            Self::StaticUnreadable => Some("InternalError"),
            _ => None,
        }
    }

    /// What happened, for the visitor.
    pub fn sentence(&self) -> &str {
        match self {
            Self::HostMissing => "The request names no host.",
            Self::HostRepeated => "The request names its host more than once.",
            Self::HostInvalid => "The request's host is no valid host name.",
            Self::HostDiffersFromTarget => "The request's target names another host than its Host header.",
            Self::HeaderTooLong => "A header of the request is too long.",
            Self::PathAmbiguous => "The request's path can be read in more than one way.",
            Self::TransferCodingUnknown => "The request uses a transfer coding other than chunked.",
            Self::MethodNotAllowed => "This method is not available here.",
            Self::BodyBroken => "The request's body ended early or is malformed.",
            Self::HostUnknown => "No app is served under this name.",
            Self::CandidateUnknown => "There is no such deployment to try.",
            Self::RouteUnknown => "The app has no component for this path.",
            Self::FileUnknown => "There is no such page.",
            Self::Unavailable(unavailable) if !unavailable.sentence.is_empty() => &unavailable.sentence,
            Self::Unavailable(_) => "The app has no instance that can answer now.",
            Self::EndpointSaturated => {
                "The app is answering as many requests as one instance may have at once."
            }
            Self::UpstreamRefused => "The app refused the connection: nothing listens on its port.",
            Self::UpstreamUnreachable => "The app's instance could not be reached.",
            Self::UpstreamConnectTimeout => "The app did not accept the connection in time.",
            Self::UpstreamClosed => "The app closed the connection before it answered.",
            Self::UpstreamInvalid => "The app's answer is not valid HTTP.",
            Self::UpstreamSilent => "The app did not begin to answer in time.",
            Self::StaticUnreadable => "The site's files could not be read.",
        }
    }
}

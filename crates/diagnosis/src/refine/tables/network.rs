//! The network: refused and unanswered connects, names that do not resolve, certificates, ports that are taken.

use super::{Cause, Pattern, Subject, strong, weak};

pub(super) const TABLE: &[Pattern] = &[
    strong(
        &["eaddrinuse"],
        Cause::AddressInUse,
        Subject::After("address already in use"),
    ),
    strong(&["address already in use"], Cause::AddressInUse, Subject::None),
    strong(&["self-signed certificate"], Cause::TlsUntrusted, Subject::None),
    strong(&["self signed certificate"], Cause::TlsUntrusted, Subject::None),
    strong(
        &["unable to verify the first certificate"],
        Cause::TlsUntrusted,
        Subject::None,
    ),
    strong(&["certificate verify failed"], Cause::TlsUntrusted, Subject::None),
    strong(
        &["certificate signed by unknown authority"],
        Cause::TlsUntrusted,
        Subject::None,
    ),
    strong(
        &["econnrefused"],
        Cause::ConnectionRefused,
        Subject::After("econnrefused"),
    ),
    strong(&["connection refused"], Cause::ConnectionRefused, Subject::None),
    strong(
        &["connectionrefusederror"],
        Cause::ConnectionRefused,
        Subject::None,
    ),
    strong(
        &["getaddrinfo enotfound"],
        Cause::HostNotFound,
        Subject::After("getaddrinfo enotfound"),
    ),
    strong(
        &["getaddrinfo eai_again"],
        Cause::HostNotFound,
        Subject::After("getaddrinfo eai_again"),
    ),
    strong(
        &["name or service not known"],
        Cause::HostNotFound,
        Subject::Quoted,
    ),
    strong(
        &["temporary failure in name resolution"],
        Cause::HostNotFound,
        Subject::Quoted,
    ),
    strong(
        &["no such host"],
        Cause::HostNotFound,
        Subject::Between("lookup ", " "),
    ),
    strong(
        &["etimedout"],
        Cause::ConnectionTimedOut,
        Subject::After("etimedout"),
    ),
    strong(
        &["ehostunreach"],
        Cause::HostUnreachable,
        Subject::After("ehostunreach"),
    ),
    strong(
        &["enetunreach"],
        Cause::HostUnreachable,
        Subject::After("enetunreach"),
    ),
    weak(
        &["connection timed out"],
        Cause::ConnectionTimedOut,
        Subject::None,
    ),
    weak(
        &["i/o timeout"],
        Cause::ConnectionTimedOut,
        Subject::Between("dial tcp ", ": "),
    ),
    weak(&["no route to host"], Cause::HostUnreachable, Subject::None),
    weak(&["network is unreachable"], Cause::HostUnreachable, Subject::None),
];

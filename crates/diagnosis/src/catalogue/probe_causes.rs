//! Causes of instances that are alive and not healthy.

use super::{CausePage, app, platform};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    sockets(cause).or_else(|| answers(cause))
}

fn sockets(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::BoundToLoopback => app(
            "Listens on the loopback address only",
            "The app listens on the right port, but on 127.0.0.1 or ::1, which nothing outside the instance can reach.",
            "The socket table of the instance, and refused probes.",
            "Make it listen on 0.0.0.0.",
        ),
        Cause::ListensOnOtherPort => app(
            "Listens on another port",
            "The app listens, but on another port than the one that is probed.",
            "The socket table of the instance, and refused probes.",
            "Set http_port to the app's port, or let the app read PORT.",
        ),
        Cause::NeverListened => app(
            "Never listened",
            "The process ran the whole time and never opened a port.",
            "The socket table of the instance stayed empty until the probe gave up.",
            "If it is no web server, make it a worker; otherwise find out what keeps it from listening.",
        ),
        Cause::StoppedListening => app(
            "Stopped listening",
            "The app listened before, and does so no longer, although its process is alive.",
            "The socket table of the instance, earlier and now.",
            "Look at the log around the time when the probes began to fail.",
        ),
        Cause::StillStarting => app(
            "Starts more slowly than the probe allows",
            "The app does something else before it listens: it connects, loads, migrates or warms up.",
            "The socket table of the instance and the time since its start.",
            "Listen first and do the slow work afterwards, or raise initial_delay_seconds.",
        ),
        Cause::TooBusy => app(
            "Too busy to answer",
            "The instance used all the CPU it may have, and did not open its port or did not answer in time.",
            "The CPU use against the limit, and the probes' timeouts.",
            "Do heavy work after listening and in another process, or use a larger instance.",
        ),
        Cause::InstanceUnreachable => platform(
            "The instance cannot be reached",
            "The platform has no route to the instance.",
            "The connect error of the probe (no route to host).",
            "Deploy again; if it happens again, look at the machine's network and firewall rules.",
        ),
        _ => return None,
    })
}

fn answers(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::HealthTimeout => app(
            "The probe was not answered in time",
            "The connection was accepted, but no answer came within the probe's timeout.",
            "The probe's transcript.",
            "Answer the probe without waiting for other services, or raise timeout_seconds.",
        ),
        Cause::HealthNotHttp => app(
            "The answer is not HTTP",
            "The port accepts connections, but speaks another protocol (often TLS), or closes them without an answer.",
            "The probe's transcript.",
            "Serve plain HTTP on the port, or leave http_path out so that a connect is enough.",
        ),
        Cause::HealthPathNotFound => app(
            "The health path does not exist",
            "The app answers, but says 404 to the path that is probed.",
            "The probe's transcript.",
            "Set http_path to a path that answers 200.",
        ),
        Cause::HealthUnauthorized => app(
            "The health path asks for a login",
            "The app answers 401: it wants credentials, and the probe sends none.",
            "The probe's transcript.",
            "Exempt the path from authentication, or probe another one.",
        ),
        Cause::HealthForbidden => app(
            "The health path is forbidden",
            "The app answers 403 to the probe.",
            "The probe's transcript.",
            "Exempt the path from the access rule, or probe another one.",
        ),
        Cause::HostHeaderRefused => app(
            "The app refuses the probe's Host header",
            "The app has a list of allowed hosts, and the instance's own address is not in it.",
            "The probe's transcript (400, 403 or 421), refined by the app's own words about the host.",
            "Allow the host, or answer the health path before the host is checked.",
        ),
        Cause::HealthBadRequest => app(
            "The health path answers 400",
            "The app calls the probe's request a bad one; often it wants a certain Host header, a header of a proxy, or HTTPS.",
            "The probe's transcript.",
            "Look at the start of the body in the transcript.",
        ),
        Cause::HealthStatusUnexpected => app(
            "The health path answers with an unusual status",
            "The app answers, but with a status that is neither 2xx nor 3xx.",
            "The probe's transcript.",
            "Answer GET on the health path with 200.",
        ),
        Cause::HealthServerError => app(
            "The health path answers with a server error",
            "The app runs, but fails while it answers the probe.",
            "The probe's transcript.",
            "Look at the log at the time of a probe, and at the start of the body in the transcript.",
        ),
        Cause::HealthBadGateway => app(
            "A proxy in the instance answers 502",
            "A front proxy inside the instance runs, but the program behind it does not answer.",
            "The probe's transcript.",
            "Look at the log of the program behind the proxy; start it first.",
        ),
        Cause::HealthUnavailable => app(
            "The health path answers 503",
            "The app runs and says itself that it is not ready.",
            "The probe's transcript.",
            "Look at the start of the body in the transcript: it often names what is missing.",
        ),
        Cause::HealthGatewayTimeout => app(
            "A proxy in the instance answers 504",
            "A front proxy inside the instance runs, but the program behind it does not answer in time.",
            "The probe's transcript.",
            "Look at the log of the program behind the proxy.",
        ),
        _ => return None,
    })
}

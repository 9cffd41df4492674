//! Incoming webhooks as Slack has them, and those who take the same: a POST of `{"text": …, "channel": …}`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use mainstay_images::{OperatorSettings, http};
use reqwest::{
    StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use serde_json::json;
use url::{Host, Url};

use super::{Message, Unsent};
use crate::platform::PlatformError;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    allows_local: bool,
}

impl Client {
    pub(super) fn new(settings: &OperatorSettings, allows_local: bool) -> Result<Self, PlatformError> {
        let mut builder = http::client_builder(settings)?.redirect(Policy::none());
        if !allows_local {
            builder = builder.dns_resolver(Arc::new(Elsewhere));
        }
        let http = builder.build().map_err(http::HttpError::Client)?;
        Ok(Self { http, allows_local })
    }

    pub(super) async fn post(&self, url: &str, channel: &str, message: &Message) -> Result<(), Unsent> {
        let url = Url::parse(url).map_err(|_| Unsent::lasting("the webhook's address is none"))?;
        if !self.allows_local && is_local(&url) {
            return Err(Unsent::lasting("the webhook leads to this machine itself"));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut body = json!({ "text": text(message) });
        if !channel.is_empty() {
            body["channel"] = channel.into();
        }
        let answer = self.http.post(url).json(&body).send().await;
        let answer = answer.map_err(|error| {
            let error = error.without_url();
            Unsent::passing(format!("{host} is not reachable: {}", innermost(&error)))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let message = format!("{host} answered {status}");
        let is_passing = status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        Err(if is_passing {
            Unsent::passing(message)
        } else {
            Unsent::lasting(message)
        })
    }
}

/// As Slack wants it: the title bold, and its three special characters written otherwise.
fn text(message: &Message) -> String {
    let escaped = |line: &str| {
        line.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let title = format!("*{}*", escaped(&message.title));
    let lines = message.lines.iter().map(|line| escaped(line));
    std::iter::once(title).chain(lines).collect::<Vec<_>>().join("\n")
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether an address names this machine, or something beside it on its link: whoever may set a webhook may not ask there in our name.
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_local_address(address.into()),
        Some(Host::Ipv6(address)) => is_local_address(address.into()),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => true,
    }
}

fn is_local_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast()
        }
    }
}

/// Knows no local address by any name.
#[derive(Debug)]
struct Elsewhere;

impl Resolve for Elsewhere {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|found| !is_local_address(found.ip())).collect();
            if found.is_empty() {
                return Err("the name leads to this machine itself".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_link_are_local() {
        let local = |url: &str| is_local(&Url::parse(url).unwrap());
        for url in [
            "https://127.0.0.1/x",
            "https://127.1.2.3:8443/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://169.254.169.254/latest",
            "https://0.0.0.0/x",
            "https://localhost/x",
            "https://api.localhost/x",
        ] {
            assert!(local(url), "{url}");
        }
        for url in [
            "https://hooks.example.com/x",
            "https://10.0.0.9/x",
            "https://192.0.2.1/x",
        ] {
            assert!(!local(url), "{url}");
        }
    }

    #[test]
    fn slacks_special_characters_are_written_otherwise() {
        let message = Message {
            title: "shop: deployment 1 failed".to_owned(),
            lines: vec!["`a && b` <x>".to_owned()],
        };
        assert_eq!(
            text(&message),
            "*shop: deployment 1 failed*\n`a &amp;&amp; b` &lt;x&gt;"
        );
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_not_followed() {
        let client = Client::new(&OperatorSettings::default(), false).unwrap();
        let message = Message {
            title: "x".to_owned(),
            lines: Vec::new(),
        };
        let unsent = client
            .post("https://127.0.0.1:9/x", "", &message)
            .await
            .unwrap_err();
        assert!(
            !unsent.is_passing && unsent.message.contains("this machine"),
            "{unsent}"
        );
        let name: Name = "localhost".parse().unwrap();
        assert!(Elsewhere.resolve(name).await.is_err());
    }
}

//! Mails, by the operator's mail server.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor, message::Mailbox, transport::smtp::Error as SmtpError,
};

use super::{Message, Unsent};
use crate::config::AlertsConfig;

const STEP_WITHIN: Duration = Duration::from_secs(10);

type Mailer = AsyncSmtpTransport<Tokio1Executor>;

pub(super) struct Mail {
    server: Mailer,
    from: Mailbox,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// The mail server of the configuration.
pub(crate) fn mailer(config: &AlertsConfig) -> Result<Mailer, SmtpError> {
    mainstay_images::http::install_tls_provider();
    let builder = Mailer::from_url(&config.smtp_url)?;
    Ok(builder.timeout(Some(STEP_WITHIN)).build())
}

impl Mail {
    /// `None` without a mail server. What cannot be read was refused with the configuration.
    pub(super) fn new(config: &AlertsConfig) -> Option<Self> {
        if config.smtp_url.is_empty() {
            return None;
        }
        Some(Self {
            server: mailer(config).ok()?,
            from: config.from.parse().ok()?,
        })
    }

    pub(super) async fn send(&self, address: &str, message: &Message) -> Result<(), Unsent> {
        let to: Mailbox = address
            .parse()
            .map_err(|_| Unsent::lasting(format!("{address} is no mail address")))?;
        let mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&message.title)
            .body(message.lines.join("\n\n") + "\n")
            .map_err(|error| Unsent::lasting(error.to_string()))?;
        match self.server.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Unsent::lasting(said(&error))),
            Err(error) => Err(Unsent::passing(said(&error))),
        }
    }
}

fn said(error: &SmtpError) -> String {
    format!("the mail server did not take it: {error}")
}

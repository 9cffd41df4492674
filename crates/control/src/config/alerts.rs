//! `[alerts]`.

use serde::Deserialize;

use super::ConfigError;

/// How alerts leave this machine.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertsConfig {
    /// The mail server: `smtps://user:password@mail.example.com`, or `smtp://…?tls=required` for STARTTLS. Without one no mail is sent.
    pub smtp_url: String,
    /// Who mails are from: `Mainstay <mainstay@example.com>`.
    pub from: String,
    /// Lets webhooks lead to loopback and link-local addresses, which are this machine's own affair.
    pub local_webhooks: bool,
}

/// The URL has a password.
impl std::fmt::Debug for AlertsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = if self.smtp_url.is_empty() { "" } else { "…" };
        f.debug_struct("AlertsConfig")
            .field("smtp_url", &shown)
            .field("from", &self.from)
            .field("local_webhooks", &self.local_webhooks)
            .finish()
    }
}

impl AlertsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.smtp_url.is_empty() {
            return Ok(());
        }
        if crate::alerts::mailer(self).is_err() {
            return Err(ConfigError::MailServer);
        }
        if self.from.parse::<lettre::message::Mailbox>().is_err() {
            return Err(ConfigError::MailFrom {
                value: self.from.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_mail_server_that_is_none_is_refused_without_its_password() {
        let checked = |text: &str| toml::from_str::<Config>(text).unwrap().checked();
        let error = checked("alerts.smtp_url = 'https://me:hunter2@mail.example.com'").unwrap_err();
        assert!(error.to_string().contains("alerts.smtp_url") && !error.to_string().contains("hunter2"));
        let error = checked("alerts.smtp_url = 'smtps://me:hunter2@mail.example.com'").unwrap_err();
        assert!(error.to_string().contains("alerts.from"), "{error}");
        let good =
            "[alerts]\nsmtp_url = 'smtps://me:hunter2@mail.example.com'\nfrom = 'Mainstay <m@example.com>'";
        let config = checked(good).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

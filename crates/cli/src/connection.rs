//! Which server is asked, and with which token: what is given on the command line or in the environment, else what the context says.
//!
//! A context's token and authority are for its own address: with another one given, they are not used. The token that a server left on this
//! machine goes to this machine alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use url::{Host, Url};

use crate::{
    args::Arguments,
    client::Client,
    contexts::{ContextFile, Contexts},
    error::CliError,
};

pub(crate) const URL_DEFAULT: &str = "http://127.0.0.1:4400";
const TOKEN_FILE_DEFAULT: &str = "/var/lib/mainstay/token";
const TOKEN_VARIABLE: &str = "MAINSTAY_TOKEN";

/// By arguments and environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub context: Option<String>,
    pub url: Option<String>,
    pub authority: Option<PathBuf>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    url: String,
    token: Token,
    authority: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Known(String),
    InFile(PathBuf),
}

impl Given {
    pub(crate) fn by(arguments: &Arguments) -> Self {
        let token = std::env::var(TOKEN_VARIABLE).ok();
        Self {
            context: arguments.context.clone(),
            url: arguments.api_url.clone(),
            authority: arguments.ca.clone(),
            token: token.filter(|token| !token.is_empty()),
            token_file: arguments.token_file.clone(),
        }
    }

    /// Asks nothing yet.
    ///
    /// # Errors
    /// The contexts or the token cannot be read, or there is no such context.
    pub(crate) fn connect(&self) -> Result<Client, CliError> {
        let contexts = if self.is_complete() {
            Contexts::default()
        } else {
            ContextFile::of_user()?.read()?
        };
        let chosen = self.choose(&contexts)?;
        let token = match chosen.token {
            Token::Known(token) => token,
            Token::InFile(file) => read_token(&file, &chosen.url)?,
        };
        Client::new(&chosen.url, token, chosen.authority.as_deref())
    }

    /// Contexts could add nothing: a file of them that is broken disturbs nobody.
    fn is_complete(&self) -> bool {
        self.context.is_none() && self.url.is_some() && (self.token.is_some() || self.token_file.is_some())
    }

    fn choose(&self, contexts: &Contexts) -> Result<Chosen, CliError> {
        let context = contexts.find(self.context.as_deref())?;
        let url = self
            .url
            .as_deref()
            .or(context.map(|context| context.url.as_str()));
        let url = without_slash(url.unwrap_or(URL_DEFAULT)).to_owned();
        let own = context.filter(|context| without_slash(&context.url) == url);
        let token = match (&self.token, &self.token_file, own) {
            (Some(token), ..) => Token::Known(token.clone()),
            (None, Some(file), _) => Token::InFile(file.clone()),
            (None, None, Some(context)) => Token::Known(context.token.clone()),
            (None, None, None) if Url::parse(&url).is_ok_and(|url| is_this_machine(&url)) => {
                Token::InFile(TOKEN_FILE_DEFAULT.into())
            }
            (None, None, None) => return Err(CliError::NoTokenGiven { url }),
        };
        let authority = self.authority.clone();
        Ok(Chosen {
            url,
            token,
            authority: authority.or_else(|| own?.ca_file.clone()),
        })
    }
}

pub(crate) fn without_slash(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// Whether what is sent there leaves this machine for nowhere. Names below `localhost` do not count: a nameserver may have them.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn read_token(file: &Path, url: &str) -> Result<String, CliError> {
    let text = fs::read_to_string(file).map_err(|_| CliError::NoToken {
        url: url.to_owned(),
        file: file.to_owned(),
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::Context;

    fn contexts() -> Contexts {
        let mut contexts = Contexts::default();
        for (name, url) in [("home", "http://127.0.0.1:4400"), ("prod", "https://p/")] {
            let context = Context {
                url: url.into(),
                token: format!("of {name}"),
                ca_file: Some(format!("/{name}.crt").into()),
                account: None,
            };
            contexts.put(name, context).unwrap();
        }
        contexts
    }

    fn chosen(given: &Given, contexts: &Contexts) -> (String, Token, Option<PathBuf>) {
        let chosen = given.choose(contexts).unwrap();
        (chosen.url, chosen.token, chosen.authority)
    }

    fn known(token: &str) -> Token {
        Token::Known(token.into())
    }

    #[test]
    fn without_contexts_it_is_the_server_of_this_machine() {
        let expected = (URL_DEFAULT.into(), Token::InFile(TOKEN_FILE_DEFAULT.into()), None);
        assert_eq!(chosen(&Given::default(), &Contexts::default()), expected);
    }

    #[test]
    fn the_current_context_is_used_unless_another_is_named() {
        let expected = ("https://p".into(), known("of prod"), Some("/prod.crt".into()));
        assert_eq!(chosen(&Given::default(), &contexts()), expected);
        let home = Given {
            context: Some("home".into()),
            ..Given::default()
        };
        assert_eq!(chosen(&home, &contexts()).1, known("of home"));
        let nowhere = Given {
            context: Some("x".into()),
            ..Given::default()
        };
        assert!(nowhere.choose(&contexts()).is_err());
    }

    #[test]
    fn what_is_given_comes_first() {
        let given = Given {
            token: Some("given".into()),
            token_file: Some("/file".into()),
            authority: Some("/ca".into()),
            ..Given::default()
        };
        let expected = ("https://p".into(), known("given"), Some("/ca".into()));
        assert_eq!(chosen(&given, &contexts()), expected);
        let by_file = Given { token: None, ..given };
        assert_eq!(chosen(&by_file, &contexts()).1, Token::InFile("/file".into()));
    }

    #[test]
    fn a_contexts_token_goes_to_its_own_server_only() {
        let to = |url: &str| Given {
            url: Some(url.into()),
            ..Given::default()
        };
        let elsewhere = to("https://q").choose(&contexts()).unwrap_err();
        assert!(matches!(elsewhere, CliError::NoTokenGiven { url } if url == "https://q"));
        assert_eq!(chosen(&to("https://p"), &contexts()).1, known("of prod"));
    }

    #[test]
    fn only_loopback_is_this_machine() {
        let is = |text: &str| is_this_machine(&Url::parse(text).unwrap());
        assert!(is("http://localhost:1") && is("http://[::1]:1") && is("http://127.9.9.9"));
        assert!(!is("http://localhost.example") && !is("http://10.0.0.1") && !is("http://a.localhost"));
    }

    #[test]
    fn the_machines_own_token_stays_on_the_machine() {
        let token = |url: &str| {
            let given = Given {
                url: Some(url.into()),
                ..Given::default()
            };
            given.choose(&Contexts::default()).map(|chosen| chosen.token)
        };
        for url in ["http://127.0.0.1:4400/", "https://localhost", "http://[::1]:4400"] {
            assert_eq!(
                token(url).unwrap(),
                Token::InFile(TOKEN_FILE_DEFAULT.into()),
                "{url}"
            );
        }
        for url in [
            "http://127.0.0.1.example",
            "https://localhost.example",
            "http://10.0.0.1",
        ] {
            assert!(token(url).is_err(), "{url}");
        }
    }

    #[test]
    fn who_is_told_everything_looks_at_no_contexts() {
        let given = Given {
            url: Some("https://q".into()),
            token: Some("given".into()),
            ..Given::default()
        };
        assert!(given.is_complete());
        assert!(!Given::default().is_complete());
    }
}

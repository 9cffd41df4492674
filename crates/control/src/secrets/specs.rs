//! Whole specs: sealed, opened, and those that an older server stored as they came.

use std::{collections::HashMap, ops::Deref};

use mainstay_spec::{AppSpec, Problem, Secret, Sensitive, SpecError, ids::AppId};
use mainstay_store::{Store, StoreError};

use super::{Keyring, keyring::CannotOpen};
use crate::platform::PlatformError;

/// As the original says it, where there is no app yet whose secret it could be.
const NO_APP_YET: &str = "secret env value must not be encrypted before app is created";

const SEND: &str = "send the value in plain text, or the `EV[…]` that the app's own spec has";

/// A spec with its secrets in plain text: for builds and instances, never to be stored or shown. It cannot be serialized.
#[derive(Debug)]
pub(crate) struct OpenedSpec(AppSpec);

impl Deref for OpenedSpec {
    type Target = AppSpec;

    fn deref(&self) -> &AppSpec {
        &self.0
    }
}

/// Owner and name of a secret, and its plain text, to the sealed one.
#[derive(Default)]
struct Known(HashMap<(Option<String>, String, String), Sensitive>);

impl Known {
    fn note(&mut self, secret: &Secret<'_>, plain: &str, sealed: &Sensitive) {
        let key = (secret.owner.clone(), secret.name.clone(), plain.to_owned());
        self.0.entry(key).or_insert_with(|| sealed.clone());
    }

    fn find(&self, secret: &Secret<'_>, plain: &str) -> Option<&Sensitive> {
        self.0
            .get(&(secret.owner.clone(), secret.name.clone(), plain.to_owned()))
    }
}

impl Keyring {
    /// The spec as it may be stored and shown. A secret in plain text that has the value it has in `before` stays as it is there, so that
    /// nothing differs; one that is encrypted already stays, too.
    ///
    /// # Errors
    /// Every secret that is encrypted and not this app's, by path.
    pub(crate) fn sealed(
        &self,
        app: AppId,
        spec: &AppSpec,
        before: Option<&AppSpec>,
    ) -> Result<AppSpec, Vec<SpecError>> {
        let known = before.map(|before| self.known(app, before)).unwrap_or_default();
        let mut sealed = spec.clone();
        let mut errors = Vec::new();
        for secret in sealed.secrets_mut() {
            match self.sealed_value(app, &secret, &known) {
                Ok(value) => *secret.value = value,
                Err(cannot) => errors.push(
                    SpecError::new(secret.path, Problem::Malformed, cannot.to_string()).suggestion(SEND),
                ),
            }
        }
        if errors.is_empty() {
            Ok(sealed)
        } else {
            Err(errors)
        }
    }

    /// What is empty stays so: that is how a secret is wiped.
    fn sealed_value(&self, app: AppId, secret: &Secret<'_>, known: &Known) -> Result<Sensitive, CannotOpen> {
        let value = &*secret.value;
        if value.reveal().is_empty() {
            return Ok(value.clone());
        }
        if value.is_encrypted() {
            return self.open_value(app, value).map(|_| value.clone());
        }
        let known = known.find(secret, value.reveal()).cloned();
        Ok(known.unwrap_or_else(|| self.seal(app, value.reveal())))
    }

    fn known(&self, app: AppId, before: &AppSpec) -> Known {
        let mut known = Known::default();
        for secret in before.clone().secrets_mut() {
            if let Ok(plain) = self.open_value(app, secret.value) {
                known.note(&secret, &plain, secret.value);
            }
        }
        known
    }

    /// What is wrong with a spec for an app that is yet to be created: it can have no encrypted secrets.
    pub(crate) fn check_new(spec: &AppSpec) -> Vec<SpecError> {
        let mut spec = spec.clone();
        let encrypted = spec
            .secrets_mut()
            .into_iter()
            .filter(|secret| secret.value.is_encrypted());
        encrypted
            .map(|secret| {
                SpecError::new(secret.path, Problem::Conflict, NO_APP_YET)
                    .suggestion("give the value in plain text; it is encrypted when the app is created")
            })
            .collect()
    }

    /// The app's stored spec in plain text.
    ///
    /// # Errors
    /// A secret that does not open: the store was changed by somebody else.
    pub(crate) fn opened(&self, app: AppId, spec: &AppSpec) -> Result<OpenedSpec, PlatformError> {
        let mut opened = spec.clone();
        for secret in opened.secrets_mut() {
            if !secret.value.reveal().is_empty() {
                let value = self
                    .open_value(app, secret.value)
                    .map_err(|source| PlatformError::Sealed {
                        app,
                        path: secret.path.clone(),
                        source,
                    })?;
                *secret.value = value.into();
            }
        }
        Ok(OpenedSpec(opened))
    }

    /// Seals what a server stored that did not know how to.
    pub(super) async fn seal_stored(&self, store: &Store) -> Result<(), StoreError> {
        let mut current = None;
        let mut known = Known::default();
        store
            .reseal(|app, spec| {
                if current.replace(app) != Some(app) {
                    known = Known::default();
                }
                for secret in spec.secrets_mut() {
                    let plain = secret.value.reveal().to_owned();
                    // An earlier try may have come as far as here; nobody else has encrypted values of ours.
                    if plain.is_empty() || self.open_value(app, secret.value).is_ok() {
                        continue;
                    }
                    let sealed = known.find(&secret, &plain).cloned();
                    let sealed = sealed.unwrap_or_else(|| self.seal(app, &plain));
                    known.note(&secret, &plain, &sealed);
                    *secret.value = sealed;
                }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use mainstay_spec::{Format, parse};
    use uuid::Uuid;

    use super::*;

    const KEY: [u8; 32] = [1; 32];

    fn app(number: u128) -> AppId {
        AppId::from_uuid(Uuid::from_u128(number))
    }

    /// A worker with a secret of this value and an open variable.
    fn spec(value: &str) -> AppSpec {
        let text = format!(
            "name: shop\nworkers: [{{name: work, git: {{repo_clone_url: 'https://h/a'}}, envs: [{{key: OPEN, value: seen}}, {{key: TOKEN, value: '{value}', type: SECRET}}]}}]"
        );
        parse(&text, Format::Yaml)
            .unwrap_or_else(|errors| panic!("{errors}"))
            .spec
    }

    fn token(spec: &AppSpec) -> &Sensitive {
        &spec.workers[0].envs[1].value
    }

    #[test]
    fn a_spec_is_kept_sealed_and_comes_back_whole() {
        let keyring = Keyring::new(&KEY);
        let sealed = keyring.sealed(app(1), &spec("hunter2"), None).unwrap();
        assert!(token(&sealed).is_encrypted());
        assert_eq!(sealed.workers[0].envs[0].value.reveal(), "seen");
        assert_eq!(*keyring.opened(app(1), &sealed).unwrap(), spec("hunter2"));
        // As downloaded and sent again; and once more in plain text.
        assert_eq!(keyring.sealed(app(1), &sealed, Some(&sealed)).unwrap(), sealed);
        assert_eq!(
            keyring.sealed(app(1), &spec("hunter2"), Some(&sealed)).unwrap(),
            sealed
        );
        assert_ne!(
            keyring.sealed(app(1), &spec("other"), Some(&sealed)).unwrap(),
            sealed
        );
        assert_eq!(
            keyring.sealed(app(1), &spec(""), Some(&sealed)).unwrap(),
            spec(""),
            "wiped"
        );
    }

    #[test]
    fn a_secret_of_another_app_is_refused_with_its_path() {
        let keyring = Keyring::new(&KEY);
        let sealed = keyring.sealed(app(1), &spec("hunter2"), None).unwrap();
        let errors = keyring.sealed(app(2), &sealed, None).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].path, "workers[0].envs[1].value");
        assert_eq!(
            errors[0].rule,
            "is no secret of this app on this server, or it was changed"
        );
        assert_eq!(errors[0].value, None);
        assert!(keyring.opened(app(2), &sealed).is_err());
        let errors = Keyring::check_new(&sealed);
        assert_eq!(errors[0].rule, NO_APP_YET);
        assert_eq!(Keyring::check_new(&spec("hunter2")), []);
    }

    #[tokio::test]
    async fn what_an_older_server_stored_is_sealed_once_and_nothing_is_left_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let id = app(1);
        let deployment = |number| mainstay_store::NewDeployment {
            id: mainstay_spec::ids::DeploymentId::from_uuid(Uuid::from_u128(number)),
            app: id,
            spec: spec("hunter2hunter2"),
            cause: String::new(),
            cause_kind: String::new(),
            previous: None,
            force_build: false,
            pinned_sources: std::collections::BTreeMap::new(),
            cloned_from: None,
            restarts: None,
            created_at: jiff::Timestamp::now(),
        };
        store
            .create_app(mainstay_spec::ids::AccountId::FIRST, &deployment(10))
            .await
            .unwrap();
        store
            .accept(&deployment(11), mainstay_store::AppChange::Nothing)
            .await
            .unwrap();
        assert!(
            holds(directory.path(), b"hunter2hunter2"),
            "the test sees what it looks for"
        );

        let keyring = Keyring::open(directory.path(), &store).await.unwrap();
        let stored = store.app(id).await.unwrap().unwrap().spec;
        assert_eq!(*keyring.opened(id, &stored).unwrap(), spec("hunter2hunter2"));
        let (rows, _) = store.deployments(id, 0, 10).await.unwrap();
        assert!(rows.iter().all(|row| row.spec == stored), "none looks changed");
        assert!(!holds(directory.path(), b"hunter2hunter2"));
        keyring.seal_stored(&store).await.unwrap();
        assert_eq!(
            store.app(id).await.unwrap().unwrap().spec,
            stored,
            "another try changes nothing"
        );
    }

    fn holds(directory: &std::path::Path, bytes: &[u8]) -> bool {
        let files = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.into_iter().any(|path| {
            std::fs::read(path)
                .unwrap()
                .windows(bytes.len())
                .any(|window| window == bytes)
        })
    }
}

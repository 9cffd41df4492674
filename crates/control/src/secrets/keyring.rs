//! The server's key, and single values under it.

use std::{
    io,
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64, HEXLOWER};
use mainstay_spec::{
    Sensitive,
    ids::{AppId, ClusterId},
};
use mainstay_store::{Store, StoreError};
use sha2::{Digest, Sha256};

use crate::private_file;

const KEY_FILE: &str = "secrets.key";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Digits of a key's name.
const NAME_DIGITS: usize = 16;
/// The store knows by this which key its specs are sealed with.
const SETTING: &str = "secrets_key";
/// The same for what is not an app's.
const CLUSTER_PURPOSE: &[u8] = b"mainstay cluster password 1\0";
/// The same for where alerts of an app go.
const ALERT_PURPOSE: &[u8] = b"mainstay alert destination 1\0";
/// Another use of the key, or another form of what is sealed, gets another one.
const PURPOSE: &[u8] = b"mainstay app secret 1\0";

/// Seals and opens.
pub(crate) struct Keyring {
    cipher: XChaCha20Poly1305,
    /// Tells keys apart, and nothing of them.
    name: String,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("cannot {operation} the key of the secrets, {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no key: it must be 64 hexadecimal digits", path.display())]
    NoKey { path: PathBuf },
    #[error("{} is missing, and the secrets of the stored apps are sealed with it: put it back from a backup", path.display())]
    Missing { path: PathBuf },
    #[error("{} is another key ({found}) than the one that the secrets of the stored apps are sealed with ({expected}): put that one back", path.display())]
    Other {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a value cannot be opened, as the rest of a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CannotOpen {
    #[error("has not the form `EV[1:nonce:ciphertext]` of an encrypted secret")]
    Malformed,
    #[error("is no secret of this app on this server, or it was changed")]
    Foreign,
}

impl Keyring {
    /// The key kept in the data directory, made there at the first start. Specs that an older server stored are sealed first of all.
    pub(crate) async fn open(data_dir: &Path, store: &Store) -> Result<Self, KeyringError> {
        let path = data_dir.join(KEY_FILE);
        let expected = store.setting(SETTING).await?;
        let key = match (Self::read(&path)?, &expected) {
            (Some(key), _) => key,
            (None, Some(_)) => return Err(KeyringError::Missing { path }),
            (None, None) => make(&path)?,
        };
        let keyring = Self::new(&key);
        match expected {
            Some(expected) if expected == keyring.name => {}
            Some(expected) => {
                let found = keyring.name;
                return Err(KeyringError::Other {
                    path,
                    found,
                    expected,
                });
            }
            None => {
                keyring.seal_stored(store).await?;
                store.put_setting(SETTING, &keyring.name).await?;
            }
        }
        Ok(keyring)
    }

    fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, KeyringError> {
        let text = private_file::read(path).map_err(failed("read", path))?;
        let Some(text) = text else { return Ok(None) };
        let no_key = || KeyringError::NoKey {
            path: path.to_owned(),
        };
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).map_err(|_| no_key())?;
        Ok(Some(bytes.try_into().map_err(|_| no_key())?))
    }

    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(key).finalize();
        Self {
            cipher: XChaCha20Poly1305::new(key.into()),
            name: HEXLOWER.encode(&digest)[..NAME_DIGITS].to_owned(),
        }
    }

    /// The value as it may be stored and shown. Sealing it again gives another text.
    pub(super) fn seal(&self, app: AppId, value: &str) -> Sensitive {
        self.seal_bound(&bound_to(app), value)
    }

    pub(super) fn open_value(&self, app: AppId, value: &Sensitive) -> Result<String, CannotOpen> {
        self.open_bound(&bound_to(app), value)
    }

    /// The password of a registered cluster, as it may be stored.
    pub(crate) fn sealed_password(&self, cluster: ClusterId, password: &str) -> String {
        let sealed = self.seal_bound(&bound_to_cluster(cluster), password);
        sealed.reveal().to_owned()
    }

    /// What was sealed for that cluster.
    pub(crate) fn opened_password(&self, cluster: ClusterId, sealed: &str) -> Result<String, CannotOpen> {
        self.open_bound(&bound_to_cluster(cluster), &sealed.into())
    }

    /// Where an alert of an app goes, as it may be stored: addresses of webhooks are passwords.
    pub(crate) fn sealed_destination(&self, app: AppId, destination: &str) -> String {
        let sealed = self.seal_bound(&bound_to_alerts(app), destination);
        sealed.reveal().to_owned()
    }

    /// What was sealed for the alerts of that app.
    pub(crate) fn opened_destination(&self, app: AppId, sealed: &str) -> Result<String, CannotOpen> {
        self.open_bound(&bound_to_alerts(app), &sealed.into())
    }

    fn seal_bound(&self, aad: &[u8], value: &str) -> Sensitive {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let msg = value.as_bytes();
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg, aad });
        let sealed = sealed.expect("a value in memory is shorter than the cipher's limit of 256 GiB");
        format!("EV[1:{}:{}]", BASE64.encode(&nonce), BASE64.encode(&sealed)).into()
    }

    fn open_bound(&self, aad: &[u8], value: &Sensitive) -> Result<String, CannotOpen> {
        let (nonce, sealed) = parts(value.reveal()).ok_or(CannotOpen::Malformed)?;
        let msg = &*sealed;
        let opened = self.cipher.decrypt(&XNonce::from(nonce), Payload { msg, aad });
        let opened = opened.map_err(|_| CannotOpen::Foreign)?;
        String::from_utf8(opened).map_err(|_| CannotOpen::Foreign)
    }
}

fn bound_to(app: AppId) -> Vec<u8> {
    [PURPOSE, app.to_string().as_bytes()].concat()
}

fn bound_to_cluster(cluster: ClusterId) -> Vec<u8> {
    [CLUSTER_PURPOSE, cluster.to_string().as_bytes()].concat()
}

fn bound_to_alerts(app: AppId) -> Vec<u8> {
    [ALERT_PURPOSE, app.to_string().as_bytes()].concat()
}

fn parts(text: &str) -> Option<([u8; NONCE_BYTES], Vec<u8>)> {
    let (nonce, sealed) = text.strip_prefix("EV[1:")?.strip_suffix(']')?.split_once(':')?;
    let nonce = BASE64.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
    Some((nonce, BASE64.decode(sealed.as_bytes()).ok()?))
}

fn make(path: &Path) -> Result<[u8; KEY_BYTES], KeyringError> {
    let key: [u8; KEY_BYTES] = rand::random();
    private_file::write(path, &(HEXLOWER.encode(&key) + "\n")).map_err(failed("write", path))?;
    Ok(key)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::File {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn app(number: u128) -> AppId {
        AppId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_value_opens_for_its_app_and_key_alone() {
        let keyring = Keyring::new(&[1; KEY_BYTES]);
        let sealed = keyring.seal(app(1), "hunter2");
        assert!(sealed.is_encrypted());
        assert!(!sealed.reveal().contains("hunter2"));
        assert_eq!(keyring.open_value(app(1), &sealed).as_deref(), Ok("hunter2"));
        assert_eq!(keyring.open_value(app(2), &sealed), Err(CannotOpen::Foreign));
        let other = Keyring::new(&[2; KEY_BYTES]);
        assert_eq!(other.open_value(app(1), &sealed), Err(CannotOpen::Foreign));
        assert_ne!(keyring.name, other.name);
        assert_ne!(
            keyring.seal(app(1), "hunter2"),
            sealed,
            "nonces are new each time"
        );
    }

    #[test]
    fn a_password_of_a_cluster_opens_for_that_cluster_alone() {
        let keyring = Keyring::new(&[1; KEY_BYTES]);
        let cluster = |number| ClusterId::from_uuid(Uuid::from_u128(number));
        let sealed = keyring.sealed_password(cluster(1), "hunter2");
        assert!(!sealed.contains("hunter2"));
        assert_eq!(
            keyring.opened_password(cluster(1), &sealed).as_deref(),
            Ok("hunter2")
        );
        assert_eq!(
            keyring.opened_password(cluster(2), &sealed),
            Err(CannotOpen::Foreign)
        );
        // An app of the same number is not the cluster.
        assert_eq!(
            keyring.open_value(app(1), &sealed.as_str().into()),
            Err(CannotOpen::Foreign)
        );
    }

    #[test]
    fn whatever_is_changed_of_it_it_no_longer_opens() {
        let keyring = Keyring::new(&[1; KEY_BYTES]);
        let sealed = keyring.seal(app(1), "hunter2").reveal().to_owned();
        for index in "EV[1:".len()..sealed.len() - 1 {
            let mut changed = sealed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                keyring.open_value(app(1), &changed.as_str().into()).is_err(),
                "{changed}"
            );
        }
        for text in [
            "EV[1:]",
            "EV[1::]",
            "EV[1:AAAA:AAAA]",
            "EV[2:AAAA:AAAA]",
            "EV[",
            "hunter2",
        ] {
            assert_eq!(
                keyring.open_value(app(1), &text.into()),
                Err(CannotOpen::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn no_change_of_one_letter_passes_whatever_the_value() {
        let keyring = Keyring::new(&[1; KEY_BYTES]);
        for length in 0..400 {
            let value = "x".repeat(length % 64);
            let sealed = keyring.seal(app(1), &value).reveal().to_owned();
            for (from, to) in [('A', "B"), ('B', "A"), ('z', "y"), (':', ";")] {
                let changed = sealed.replacen(from, to, 1);
                let opened = keyring.open_value(app(1), &changed.as_str().into());
                assert_eq!(opened.is_ok(), changed == sealed, "{sealed} {changed}");
            }
        }
    }

    #[tokio::test]
    async fn a_lost_or_exchanged_key_is_noticed_before_anything_is_sealed_with_another() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let first = Keyring::open(directory.path(), &store).await.unwrap();
        let again = Keyring::open(directory.path(), &store).await.unwrap();
        assert_eq!(first.name, again.name);
        let path = directory.path().join(KEY_FILE);
        std::fs::write(&path, HEXLOWER.encode(&[7; KEY_BYTES])).unwrap();
        let other = Keyring::open(directory.path(), &store).await.unwrap_err();
        assert!(matches!(other, KeyringError::Other { .. }), "{other}");
        std::fs::remove_file(&path).unwrap();
        let missing = Keyring::open(directory.path(), &store).await.unwrap_err();
        assert!(matches!(missing, KeyringError::Missing { .. }), "{missing}");
        assert!(!path.exists());
        std::fs::write(&path, "abc").unwrap();
        let none = Keyring::open(directory.path(), &store).await.unwrap_err();
        assert!(matches!(none, KeyringError::NoKey { .. }), "{none}");
    }
}

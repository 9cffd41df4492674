//! The packets of MySQL's protocol that a login and short questions take (MySQL's manual of its source, "Client/Server Protocol").

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// Capabilities of both sides, by their bits.
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const LONG_PASSWORD: u32 = 1;

/// utf8mb4_general_ci, which every server since 5.5.3 knows.
const UTF8MB4: u8 = 45;
const PACKET_BYTES_MAX: u32 = 1 << 24;

/// How a server wants to be shown the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `mysql_native_password`
    Native,
    /// `caching_sha2_password`
    CachingSha2,
}

impl Method {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            "mysql_native_password" => Some(Self::Native),
            "caching_sha2_password" => Some(Self::CachingSha2),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
        }
    }

    /// What shows that one has the password, for this challenge.
    pub(super) fn proof(self, password: &str, challenge: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        match self {
            Self::Native => {
                let once = Sha1::digest(password);
                let twice = Sha1::digest(once);
                let mixed = Sha1::new().chain_update(challenge).chain_update(twice).finalize();
                xor(&once, &mixed)
            }
            Self::CachingSha2 => {
                use sha2::Digest as _;
                let once = Sha256::digest(password);
                let twice = Sha256::digest(once);
                let mixed = Sha256::new()
                    .chain_update(twice)
                    .chain_update(challenge)
                    .finalize();
                xor(&once, &mixed)
            }
        }
    }
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// What a server gets to check passwords by, as its statements take it: `*` and twenty bytes.
pub(super) fn verifier(password: &str) -> String {
    let digest = Sha1::digest(Sha1::digest(password));
    format!("*{}", data_encoding::HEXUPPER.encode(&digest))
}

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) speaks_tls: bool,
    pub(super) challenge: Vec<u8>,
    pub(super) method: Option<Method>,
}

impl Greeting {
    /// `None` for what is no greeting of version 10.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader(packet);
        if reader.byte()? != 10 {
            return None;
        }
        reader.text()?;
        reader.take(4)?;
        let mut challenge = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = u32::from(u16::from_le_bytes(reader.take(2)?.try_into().ok()?));
        reader.take(3)?;
        let high = u32::from(u16::from_le_bytes(reader.take(2)?.try_into().ok()?));
        let capabilities = low | high << 16;
        let length = usize::from(reader.byte()?);
        reader.take(10)?;
        let rest = reader.take(length.saturating_sub(8).max(13))?;
        challenge.extend(rest.strip_suffix(b"\0").unwrap_or(rest));
        let named = reader.text().unwrap_or_default();
        Some(Self {
            speaks_tls: capabilities & SSL != 0,
            challenge,
            method: Method::by_name(&named),
        })
    }
}

/// The wish to go on inside TLS.
pub(super) fn tls_request(has_database: bool) -> Vec<u8> {
    login_head(has_database, true)
}

fn login_head(has_database: bool, inside_tls: bool) -> Vec<u8> {
    let mut capabilities = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
    if has_database {
        capabilities |= CONNECT_WITH_DB;
    }
    if inside_tls {
        capabilities |= SSL;
    }
    let mut packet = capabilities.to_le_bytes().to_vec();
    packet.extend(PACKET_BYTES_MAX.to_le_bytes());
    packet.push(UTF8MB4);
    packet.extend([0; 23]);
    packet
}

/// Who logs in, with a proof for the method.
pub(super) fn login(user: &str, database: &str, inside_tls: bool, method: Method, proof: &[u8]) -> Vec<u8> {
    let mut packet = login_head(!database.is_empty(), inside_tls);
    packet.extend(user.as_bytes());
    packet.push(0);
    // Both methods' proofs have at most 32 bytes.
    packet.push(u8::try_from(proof.len()).unwrap_or(0));
    packet.extend(proof);
    if !database.is_empty() {
        packet.extend(database.as_bytes());
        packet.push(0);
    }
    packet.extend(method.name().as_bytes());
    packet.push(0);
    packet
}

/// A packet that answers a login or a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Failed(Failure),
    /// Another method, by its name, with another challenge.
    Switch {
        method: String,
        challenge: Vec<u8>,
    },
    /// Part of a login by `caching_sha2_password`: what the server found.
    More(Vec<u8>),
    /// A result with so many columns follows.
    Columns(u64),
}

/// The server's own error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) number: u16,
    pub(super) message: String,
}

impl Failure {
    /// Without the SQLSTATE, which a server has not before it knows its client.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader(packet.strip_prefix(b"\xff")?);
        let number = u16::from_le_bytes(reader.take(2)?.try_into().ok()?);
        let message = match reader.0.strip_prefix(b"#") {
            Some(rest) => rest.get(5..)?,
            None => reader.0,
        };
        Some(Self {
            number,
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }
}

impl Answer {
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        Some(match packet.first()? {
            0x00 => Self::Done,
            0xff => Self::Failed(Failure::read(packet)?),
            0xfe => {
                let mut reader = Reader(&packet[1..]);
                let method = reader.text()?;
                let challenge = reader.0.strip_suffix(b"\0").unwrap_or(reader.0).to_vec();
                Self::Switch { method, challenge }
            }
            _ => Self::Columns(Reader(packet).number()?),
        })
    }

    /// During a login a packet that begins with 1 is no number of columns.
    pub(super) fn read_at_login(packet: &[u8]) -> Option<Self> {
        match packet.split_first()? {
            (0x01, rest) => Some(Self::More(rest.to_vec())),
            _ => Self::read(packet),
        }
    }
}

/// Whether a packet ends columns, or rows.
pub(super) fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// The values of a row; `NULL` is empty.
pub(super) fn row(packet: &[u8], columns: u64) -> Option<Vec<String>> {
    let mut reader = Reader(packet);
    (0..columns).map(|_| reader.value()).collect()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// Up to a zero.
    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// Of one to nine bytes.
    fn number(&mut self) -> Option<u64> {
        let wide = |bytes: &[u8]| {
            let low = bytes.iter().rev();
            low.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        Some(match self.byte()? {
            0xfc => wide(self.take(2)?),
            0xfd => wide(self.take(3)?),
            0xfe => wide(self.take(8)?),
            0xfb | 0xff => return None,
            small => u64::from(small),
        })
    }

    fn value(&mut self) -> Option<String> {
        if let Some(rest) = self.0.strip_prefix(b"\xfb") {
            self.0 = rest;
            return Some(String::new());
        }
        let length = usize::try_from(self.number()?).ok()?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_become_what_the_server_calculates_too() {
        // SELECT PASSWORD('mypass') of MariaDB and of MySQL 5.7.
        assert_eq!(verifier("mypass"), "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
        let challenge: Vec<u8> = (1..=20).collect();
        // The server xors the proof with its digest of the challenge, and compares the digest of the rest with what it has.
        let proof = Method::Native.proof("mypass", &challenge);
        let stored = Sha1::digest(Sha1::digest("mypass"));
        let mixed = Sha1::new()
            .chain_update(&challenge)
            .chain_update(stored)
            .finalize();
        assert_eq!(Sha1::digest(xor(&proof, &mixed)), stored);
        assert_eq!(Method::CachingSha2.proof("mypass", &challenge).len(), 32);
        assert!(Method::Native.proof("", &challenge).is_empty());
    }

    #[test]
    fn a_greeting_is_read() {
        let mut packet = b"\x0a10.11.19-MariaDB\0".to_vec();
        packet.extend([7, 0, 0, 0]);
        packet.extend([1, 2, 3, 4, 5, 6, 7, 8, 0]);
        packet.extend([0xfe, 0xff, 45, 2, 0, 0xff, 0x81, 21]);
        packet.extend([0; 10]);
        packet.extend([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0]);
        packet.extend(b"mysql_native_password\0");
        let greeting = Greeting::read(&packet).unwrap();
        assert!(greeting.speaks_tls);
        assert_eq!(greeting.challenge, (1..=20).collect::<Vec<u8>>());
        assert_eq!(greeting.method, Some(Method::Native));
        assert_eq!(Greeting::read(b"HTTP/1.1 400 Bad Request"), None);
        for length in 0..packet.len() - 1 {
            // Whatever is missing: no panic.
            drop(Greeting::read(&packet[..length]));
        }
    }

    #[test]
    fn errors_are_read_with_and_without_a_state() {
        let known = b"\xff\x15\x04#28000Access denied for user 'a'@'b'";
        assert_eq!(
            Answer::read(known),
            Some(Answer::Failed(Failure {
                number: 1045,
                message: "Access denied for user 'a'@'b'".into()
            }))
        );
        let early = Failure::read(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(
            (early.number, early.message.as_str()),
            (1040, "Too many connections")
        );
    }

    #[test]
    fn rows_are_read() {
        assert_eq!(row(b"\x02ab\xfb\x011", 3).unwrap(), ["ab", "", "1"]);
        assert_eq!(row(b"\x05ab", 1), None);
        assert!(is_end(b"\xfe\0\0\x02\0"));
        assert_eq!(Answer::read(b"\x02"), Some(Answer::Columns(2)));
    }
}

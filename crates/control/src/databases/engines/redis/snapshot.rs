//! Counts the keys in a snapshot of a Redis or Valkey server (RDB, versions 9 to 12). Values are passed over: of each it is only known where it
//! ends. Redis has it so in `src/rdb.c`, which is all that describes the format.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

const MAGIC: &[u8] = b"REDIS";
const VERSION_DIGITS: u64 = 4;
const CHECKSUM_BYTES: u64 = 8;
const TIME_BYTES: u64 = 8;
const STREAM_ID_BYTES: u64 = 16;

/// Of one database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// That stay until somebody deletes them.
    pub(super) lasting: u64,
    /// That have a time at which they go, which may be over.
    pub(super) expiring: u64,
}

/// The keys by the number of their database.
///
/// # Errors
///
/// `UnexpectedEof` for one that is cut off, `InvalidData` for what is no snapshot, has a kind of value that is not known here, or goes on behind its
/// end.
pub(super) fn count(file: impl Read) -> io::Result<BTreeMap<u64, Keys>> {
    let mut snapshot = Snapshot {
        file: BufReader::new(file),
    };
    snapshot.count()
}

struct Snapshot<R> {
    file: BufReader<R>,
}

impl<R: Read> Snapshot<R> {
    fn count(&mut self) -> io::Result<BTreeMap<u64, Keys>> {
        let mut magic = [0; MAGIC.len()];
        self.file.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(invalid("it does not begin like one"));
        }
        self.skip(VERSION_DIGITS)?;
        let mut databases: BTreeMap<u64, Keys> = BTreeMap::new();
        let (mut database, mut is_expiring) = (0, false);
        loop {
            match self.byte()? {
                // Another database; how many keys it has, which is a hint; how many a slot has.
                0xfe => database = self.length()?,
                0xfb => self.lengths(2)?,
                0xf4 => self.lengths(3)?,
                // The next key's time in milliseconds, or in seconds; how long it was not used, or how often it is.
                0xfc => {
                    self.skip(TIME_BYTES)?;
                    is_expiring = true;
                }
                0xfd => {
                    self.skip(4)?;
                    is_expiring = true;
                }
                0xf8 => self.lengths(1)?,
                0xf9 => self.skip(1)?,
                // Something about the server; a library of functions; what a module keeps beside keys.
                0xfa => self.strings(2)?,
                0xf5 => self.string()?,
                0xf7 => self.module()?,
                0xff => return self.end().map(|()| databases),
                kind => {
                    self.string()?;
                    self.value(kind)?;
                    let keys = databases.entry(database).or_default();
                    if std::mem::take(&mut is_expiring) {
                        keys.expiring += 1;
                    } else {
                        keys.lasting += 1;
                    }
                }
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.skip(CHECKSUM_BYTES)?;
        if self.file.fill_buf()?.is_empty() {
            Ok(())
        } else {
            Err(invalid("it goes on behind its end"))
        }
    }

    fn value(&mut self, kind: u8) -> io::Result<()> {
        match kind {
            // A string, or whatever is packed into one.
            0 | 9..=13 | 16 | 17 | 20 | 23 => self.string(),
            // A list, a set, a list of packed pieces; one that says how each is packed.
            1 | 2 | 14 => self.times(Self::string),
            18 => self.times(|it| it.lengths(1).and_then(|()| it.string())),
            // A sorted set, with numbers as text or not; a hash.
            3 => self.times(|it| it.string().and_then(|()| it.number())),
            5 => self.times(|it| it.string().and_then(|()| it.skip(8))),
            4 => self.times(|it| it.strings(2)),
            // Hashes whose fields have times, relative to one that stands before.
            22 => self.times(Self::field),
            24 => self.skip(TIME_BYTES).and_then(|()| self.times(Self::field)),
            25 => self.skip(TIME_BYTES).and_then(|()| self.string()),
            7 => self.module(),
            15 => self.stream(1),
            19 => self.stream(2),
            21 => self.stream(3),
            _ => Err(invalid(&format!("a value is of the unknown kind {kind}"))),
        }
    }

    fn field(&mut self) -> io::Result<()> {
        self.length()?;
        self.strings(2)
    }

    /// Of the first version of streams, the second or the third.
    fn stream(&mut self, version: u8) -> io::Result<()> {
        self.times(|it| it.strings(2))?;
        // How many entries and the last id; the first id, the last deleted one, and how many there ever were.
        self.lengths(if version >= 2 { 3 + 5 } else { 3 })?;
        self.times(|group| {
            group.string()?;
            group.lengths(if version >= 2 { 3 } else { 2 })?;
            group.times(|pending| {
                pending.skip(STREAM_ID_BYTES + TIME_BYTES)?;
                pending.lengths(1)
            })?;
            group.times(|consumer| {
                consumer.string()?;
                consumer.skip(if version >= 3 { 2 * TIME_BYTES } else { TIME_BYTES })?;
                consumer.times(|pending| pending.skip(STREAM_ID_BYTES))
            })
        })
    }

    /// What a module wrote says of each piece what it is.
    fn module(&mut self) -> io::Result<()> {
        self.length()?;
        loop {
            match self.length()? {
                0 => return Ok(()),
                1 | 2 => self.lengths(1)?,
                3 => self.skip(4)?,
                4 => self.skip(8)?,
                5 => self.string()?,
                _ => return Err(invalid("a module's value is not understood")),
            }
        }
    }

    /// As many as a length says that stands before them.
    fn times(&mut self, mut each: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        for _ in 0..self.length()? {
            each(self)?;
        }
        Ok(())
    }

    fn strings(&mut self, count: u32) -> io::Result<()> {
        (0..count).try_for_each(|_| self.string())
    }

    fn lengths(&mut self, count: u32) -> io::Result<()> {
        (0..count).try_for_each(|_| self.length().map(drop))
    }

    fn string(&mut self) -> io::Result<()> {
        match self.length_or_kind()? {
            Length::Plain(bytes) => self.skip(bytes),
            // A number in one byte, two or four.
            Length::Kind(kind @ 0..=2) => self.skip(1 << kind),
            Length::Kind(3) => {
                let packed = self.length()?;
                self.length()?;
                self.skip(packed)
            }
            Length::Kind(_) => Err(invalid("a string is packed in an unknown way")),
        }
    }

    /// As text, or a word for what has none.
    fn number(&mut self) -> io::Result<()> {
        match self.byte()? {
            253..=255 => Ok(()),
            digits => self.skip(u64::from(digits)),
        }
    }

    fn length(&mut self) -> io::Result<u64> {
        match self.length_or_kind()? {
            Length::Plain(length) => Ok(length),
            Length::Kind(_) => Err(invalid("a length is none")),
        }
    }

    /// The two highest bits say how it is written.
    fn length_or_kind(&mut self) -> io::Result<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0) => Length::Plain(u64::from(u32::from_be_bytes(self.bytes()?))),
            (2, 1) => Length::Plain(u64::from_be_bytes(self.bytes()?)),
            (3, kind) => Length::Kind(kind),
            _ => return Err(invalid("a length is none")),
        })
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.bytes().map(|[byte]| byte)
    }

    fn bytes<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let there = self.file.fill_buf()?.len();
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(count).map_or(there, |count| count.min(there));
            self.file.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

enum Length {
    Plain(u64),
    /// Not a length, but how what follows is written.
    Kind(u8),
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    /// What Redis 7.0.15 wrote, in Base64: strings as text, numbers, packed; lists, sets, hashes and sorted sets as tables and in one piece; a
    /// stream with a group that has something pending; a library of functions. Two keys of three with a time have it still before them.
    const SNAPSHOT: &str = "
        UkVESVMwMDEw+glyZWRpcy12ZXIGNy4wLjE1+gpyZWRpcy1iaXRzwED6BWN0aW1lwhr/CGv6CHVzZWQtbWVtwnCdEgD6DnJlcGwtc3RyZWFtLWRiwAD6B3Jl
        cGwtaWQoYWI4MGI4ZjhiOGU4OWYwMDNmYzBlNzFiZjFmOTU0YWFmY2YxMmQ5Y/oLcmVwbC1vZmZzZXTAAPoIYW9mLWJhc2XAAPVAQiMhbHVhIG5hbWU9bApy
        ZWRpcy5yZWdpc3Rlcl9mdW5jdGlvbigiZiIsIGZ1bmN0aW9uKCkgcmV0dXJuIDEgZW5kKf4A+w8CEQNvbmUMDAAAAAIAgWECAQH/BQZzb3J0ZWQDAWMAAAAA
        AADwfwFiAAAAAAAAAEABYQAAAAAAAPg/AARsb25nQFpXWVVTdFJUMkw2S2t5Q09MbWZPUiswU3I4YTQrTFoxT0xXcXgrdkJiVDd4eWwxcWdXWDREZHVQNFFS
        clF1WEVnblNtQUI4YURDTmxQSFUwald0TG55OWsvL0IAA24xNsHoAwAEdGV4dMAB/M9eGiGiAQAAAAVzdGF5c8ABBARoYXNoAgFiwAIBYcAB/NB9JBuiAQAA
        AARnb25lwAEQBXNtYWxsDAwAAAACAIFhAgEB/wIDc2V0AwFjAWIBYQADbjMywqCGAQALBGludHMMAgAAAAIAAAABAAIAEwZzdHJlYW0BEAAAAAAAAAABAAAA
        AAAAAAEoKAAAAA8AAgEAAQEBgWYCAAECAQABAAGBdgIEAQIBAAEBAYF2AgQB/wIBAgEBAAACAQFnAQICAgAAAAAAAAABAAAAAAAAAAHPfSQbogEAAAEAAAAA
        AAAAAQAAAAAAAAACz30kG6IBAAABAQFjz30kG6IBAAACAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAABAAAAAAAAAAIABnBhY2tlZMMMQSwBYWHg/wDgFwABYWES
        BGxpc3QCAgoKAAAAAQCBYQL/AgoKAAAAAQCBYgL//g/7AQH80F4aIaIBAAAAAXgBef+8wJiDPheKLQ==
    ";

    fn snapshot() -> Vec<u8> {
        let digits: String = SNAPSHOT.split_whitespace().collect();
        BASE64.decode(digits.as_bytes()).unwrap()
    }

    #[test]
    fn keys_are_counted_whatever_their_values_are() {
        let keys = |lasting, expiring| Keys { lasting, expiring };
        let wanted = BTreeMap::from([(0, keys(13, 2)), (15, keys(0, 1))]);
        assert_eq!(count(&snapshot()[..]).unwrap(), wanted);
    }

    #[test]
    fn what_is_cut_off_goes_on_or_is_none_is_told() {
        let whole = snapshot();
        for length in 0..whole.len() {
            let error = count(&whole[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
        let told = |bytes: &[u8]| count(bytes).unwrap_err().to_string();
        assert_eq!(told(&[&whole[..], b"x"].concat()), "it goes on behind its end");
        assert_eq!(told(b"-ERR no such command"), "it does not begin like one");
        assert_eq!(
            told(b"REDIS0099\xfe\x00\x63\x01k"),
            "a value is of the unknown kind 99"
        );
    }
}

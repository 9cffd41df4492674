//! Backups of Redis and Valkey: the server's own snapshot (RDB), taken as a replica takes it. The server goes on meanwhile; a child of it
//! that shares its memory writes the snapshot to the connection, and none of it to its volume.
//!
//! Nobody can count at the moment of which the snapshot is, so the keys are counted in its file ([`snapshot`]).

use std::path::Path;

use async_trait::async_trait;
use mainstay_store::{BackupFailure, TableRows};

use super::{
    ADMIN, APPEND_ONLY_FILE, DATA, DATABASES, PORT, Redis, VERSION_FILE, VOLUME,
    session::Session,
    snapshot::{self, Keys},
};
use crate::databases::{
    backups::{
        AUTHORITY, Answer, Draft, Failed, Input, SOCKETS, Scratch, Sink, Source, Stored, Tool, Written,
    },
    engines::{Backup, note_version},
    login::Login,
};

/// What the server sends behind a snapshot whose length it does not know when it begins.
const MARK_BYTES: usize = 40;
/// What an append-only file begins with may be a snapshot.
const BASE_FILE: &str = "data/appendonlydir/appendonly.aof.1.base.rdb";
const MANIFEST: &str = "file appendonly.aof.1.base.rdb seq 1 type b\n";

#[async_trait]
impl Backup for Redis {
    /// As much as its memory: more than its files, which are rewritten when they are twice as large.
    async fn bytes(&self, login: &Login<'_>) -> Result<u64, Failed> {
        let mut session = Session::open(login).await?;
        let told = session.answered(&["INFO", "memory"]).await?.concat();
        let used = told.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let used = used.and_then(|used| used.trim().parse().ok());
        used.ok_or_else(|| Failed::not_understood("the memory in use"))
    }

    async fn dump(&self, source: &Source<'_>, draft: Draft) -> Result<(Written, Vec<TableRows>), Failed> {
        let mut unmarked = Unmarked {
            draft,
            held: Vec::new(),
        };
        // It asks for the password: neither its command line nor its environment has it.
        let password = format!("{}\n", source.login.password);
        let port = PORT.to_string();
        let argv = [
            self.client,
            "-h",
            source.login.host,
            "-p",
            &port,
            "--tls",
            "--cacert",
            AUTHORITY,
            "--sni",
            source.login.host,
            "--user",
            ADMIN,
            "--askpass",
            "--rdb",
            "-",
        ];
        let tool = source.tool(argv.map(Into::into).into());
        tool.run(Input::Text(password), &mut unmarked).await?;
        let path = unmarked.draft.path();
        let written = unmarked.draft.finish().await?;
        Ok((written, keys(&path).await?))
    }

    async fn restore(&self, scratch: &mut Scratch<'_>, file: Stored) -> Result<(), Failed> {
        let on_volume = |path: &str| format!("{VOLUME}/{path}");
        let directory = Path::new(BASE_FILE)
            .parent()
            .and_then(Path::to_str)
            .unwrap_or_default();
        let directory = ["/usr/bin/install", "-d", "--mode=0700", &on_volume(directory)];
        scratch.run(directory.map(Into::into).into()).await?;
        let files = vec![
            (on_volume(BASE_FILE), Input::File(Box::new(file))),
            (on_volume(APPEND_ONLY_FILE), Input::Text(MANIFEST.to_owned())),
        ];
        scratch.write(files).await?;
        scratch.serve(self.serve_alone()).await?;
        // An error is an exit code only when asked for: a server that still reads its file answers with one.
        scratch.ready(|| self.tool(scratch, &["-e", "PING"])).await
    }

    async fn count(&self, scratch: &Scratch<'_>) -> Result<Vec<TableRows>, Failed> {
        let mut answer = Answer::default();
        self.tool(scratch, &["INFO", "keyspace"])
            .run(Input::Nothing, &mut answer)
            .await?;
        let databases =
            keyspace(&answer.text()).ok_or_else(|| Failed::not_understood("the counts of keys"))?;
        Ok(tables(databases))
    }

    async fn complete(&self, scratch: &Scratch<'_>) -> Result<String, Failed> {
        note_version(scratch, VOLUME, VERSION_FILE).await
    }
}

impl Redis {
    /// A server that holds itself for a replica leaves keys alone whose time is over, so that there are as many as in the snapshot. Its master
    /// is nobody: it has no network.
    fn serve_alone(&self) -> Vec<String> {
        let argv = [
            &format!("/usr/bin/{}", self.package),
            "--port",
            "0",
            "--unixsocket",
            &socket(),
            "--dir",
            DATA,
            "--databases",
            &DATABASES.to_string(),
            "--appendonly",
            "yes",
            "--save",
            "",
            "--replicaof",
            "127.0.0.1 1",
            "--set-proc-title",
            "no",
        ];
        argv.map(Into::into).into()
    }

    fn tool<'a>(&self, scratch: &Scratch<'a>, words: &[&str]) -> Tool<'a> {
        let mut argv = vec![self.client.to_owned(), "-s".to_owned(), socket()];
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        scratch.tool(argv)
    }
}

fn socket() -> String {
    format!("{SOCKETS}/redis.sock")
}

/// Holds back what may be the mark at the end.
struct Unmarked {
    draft: Draft,
    held: Vec<u8>,
}

impl Sink for Unmarked {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        self.held.extend(bytes);
        let known = self.held.len().saturating_sub(MARK_BYTES);
        if known == 0 {
            return Ok(());
        }
        let held = self.held.split_off(known);
        self.draft.take(std::mem::replace(&mut self.held, held)).await
    }
}

/// What is in the file of a snapshot.
async fn keys(path: &Path) -> Result<Vec<TableRows>, Failed> {
    let path = path.to_owned();
    let counted = tokio::task::spawn_blocking(move || snapshot::count(std::fs::File::open(path)?)).await;
    let counted = counted.map_err(std::io::Error::other).and_then(|counted| counted);
    let databases = counted.map_err(|error| {
        let message = format!("what the server sent is no whole snapshot: {error}");
        Failed::new(BackupFailure::Dump, message)
    })?;
    Ok(tables(databases))
}

/// `db0:keys=13,expires=1,avg_ttl=852956`, one database a line.
fn keyspace(answer: &str) -> Option<Vec<(u64, Keys)>> {
    let databases = answer.lines().filter_map(|line| line.trim().strip_prefix("db"));
    let read = |line: &str| {
        let (number, fields) = line.split_once(':')?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.strip_prefix(name)?.parse().ok())
        };
        let (all, expiring): (u64, u64) = (field("keys=")?, field("expires=")?);
        let lasting = all.checked_sub(expiring)?;
        Some((number.parse().ok()?, Keys { lasting, expiring }))
    };
    databases.map(read).collect()
}

/// As a table each: the keys that stay, and those with a time at which they go.
fn tables(databases: impl IntoIterator<Item = (u64, Keys)>) -> Vec<TableRows> {
    let tables = databases.into_iter().flat_map(|(number, keys)| {
        [("keys", keys.lasting), ("expiring", keys.expiring)].map(|(name, rows)| TableRows {
            schema: number.to_string(),
            name: name.to_owned(),
            rows,
        })
    });
    tables.filter(|table| table.rows > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_read() {
        let answer = "# Keyspace\r\ndb0:keys=13,expires=1,avg_ttl=852956\r\ndb3:keys=2,expires=0,avg_ttl=0,subexpiry=0\r\n";
        let databases = keyspace(answer).unwrap();
        let keys = |lasting, expiring| Keys { lasting, expiring };
        assert_eq!(databases, [(0, keys(12, 1)), (3, keys(2, 0))]);
        let told: Vec<(String, u64)> = tables(databases)
            .into_iter()
            .map(|table| (format!("{}.{}", table.schema, table.name), table.rows))
            .collect();
        let wanted = [("0.keys", 12), ("0.expiring", 1), ("3.keys", 2)];
        assert_eq!(told, wanted.map(|(name, rows)| (name.to_owned(), rows)));
        assert_eq!(keyspace("db0:keys=x"), None);
    }
}

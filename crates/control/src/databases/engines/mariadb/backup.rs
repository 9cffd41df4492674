//! Backups of MariaDB: SQL, written by `mariadb-dump` of one moment.
//!
//! No other session can be given that moment, and what is not in InnoDB tables has none: so the rows are counted in what the tool writes
//! ([`rows`](super::rows)). Nothing is locked for it.
//!
//! The app's own user restores what is its own: what is in a dump came from the app, and some of it runs.

use async_trait::async_trait;
use data_encoding::HEXUPPER;
use mainstay_store::{DatabaseRow, TableRows};

use super::{
    DATA, LOG_FILE, MariaDb, TEMPORARY, VERSION_FILE, VOLUME, asked, empty_database, identifier, pattern,
    rows::Rows, text,
};
use crate::databases::{
    backups::{
        AUTHORITY, Answer, Draft, Failed, Input, Packed, SOCKETS, Scratch, Sink, Source, Stored, Tool,
        Unpacked, Written,
    },
    engines::{Backup, note_version},
    login::Login,
};

/// Inside the tool's instance: who it logs in as. Neither its command line nor its environment has the password.
const LOGIN: &str = "/tmp/login.cnf";
/// One statement is one row at least, however large: as much as servers take.
const PACKET: &str = "--max-allowed-packet=1G";
const CHARACTERS: &str = "--default-character-set=utf8mb4";
/// Of a fresh server, to whoever is inside with it.
const ROOT: &str = "root";

#[async_trait]
impl Backup for MariaDb {
    async fn bytes(&self, login: &Login<'_>) -> Result<u64, Failed> {
        let sql = "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS CHAR) \
                   FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        let rows = asked(login, sql).await?;
        let bytes = rows.first().and_then(|row| row.first()?.parse().ok());
        bytes.ok_or_else(|| Failed::not_understood("the database's size"))
    }

    async fn dump(&self, source: &Source<'_>, draft: Draft) -> Result<(Written, Vec<TableRows>), Failed> {
        source.write(LOGIN, login_file(&source.login)).await?;
        let mut counted = Counted {
            rows: Rows::default(),
            file: Packed::new(draft)?,
        };
        dump_tool(source).run(Input::Nothing, &mut counted).await?;
        let table = |(name, rows)| TableRows {
            schema: source.row.database_name.clone(),
            name,
            rows,
        };
        let tables = counted.rows.of_tables().into_iter().map(table).collect();
        Ok((counted.file.finish().await?, tables))
    }

    async fn restore(&self, scratch: &mut Scratch<'_>, file: Stored) -> Result<(), Failed> {
        for command in empty_database() {
            scratch.run(command).await?;
        }
        scratch.serve(serve(scratch)).await?;
        scratch
            .ready(|| tool(scratch, "mariadb-admin", ROOT, &["ping"]))
            .await?;
        query(scratch, app_user(scratch.row())).await?;
        // Comments are part of routines, but not sent unless asked for.
        let arguments = ["--binary-mode", "--comments", PACKET, CHARACTERS];
        tool(scratch, "mariadb", &scratch.row().user, &arguments)
            .that_quotes_data()
            .run(
                Input::Packed(Box::new(Unpacked::new(file)?)),
                &mut Answer::default(),
            )
            .await
    }

    async fn count(&self, scratch: &Scratch<'_>) -> Result<Vec<TableRows>, Failed> {
        let schema = &scratch.row().database_name;
        let (names, questions): (Vec<String>, Vec<String>) =
            questions(scratch, schema).await?.into_iter().unzip();
        let answer = query(scratch, questions.concat()).await?;
        let counts: Option<Vec<u64>> = answer.lines().map(|line| line.parse().ok()).collect();
        let counts = counts.filter(|counts| counts.len() == names.len());
        let counts = counts.ok_or_else(|| Failed::not_understood("the counts of rows"))?;
        let table = |(name, rows)| TableRows {
            schema: schema.clone(),
            name,
            rows,
        };
        Ok(names.into_iter().zip(counts).map(table).collect())
    }

    /// The server's own start makes users and passwords anew.
    async fn complete(&self, scratch: &Scratch<'_>) -> Result<String, Failed> {
        note_version(scratch, VOLUME, VERSION_FILE).await
    }
}

/// What the tool writes, counted before it is packed.
struct Counted {
    rows: Rows,
    file: Packed,
}

impl Sink for Counted {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        self.rows.read(&bytes);
        self.file.take(bytes).await
    }
}

fn login_file(login: &Login<'_>) -> String {
    let Login {
        host, user, password, ..
    } = login;
    let port = login.address.port();
    format!(
        "[client]\nhost={host}\nport={port}\nuser={user}\npassword={password}\n\
         ssl-ca={AUTHORITY}\nssl-verify-server-cert\n"
    )
}

/// With the statement that makes the database, for what its tables are like when nothing else is said is a property of it.
fn dump_tool<'a>(source: &Source<'a>) -> Tool<'a> {
    let argv = [
        "/usr/bin/mariadb-dump",
        &format!("--defaults-file={LOGIN}"),
        "--single-transaction",
        "--quick",
        "--routines",
        "--triggers",
        "--events",
        "--hex-blob",
        PACKET,
        CHARACTERS,
        "--databases",
        source.login.database,
    ];
    source.tool(argv.map(Into::into).into())
}

/// Serves what is on the volume over its socket alone. Should it crash, its volume is nobody's: nothing has to be on disk before it ends.
fn serve(scratch: &Scratch<'_>) -> Vec<String> {
    let buffer_pool_mib = (scratch.memory_bytes() / 4) >> 20;
    let argv = [
        "/usr/sbin/mariadbd",
        "--no-defaults",
        &format!("--datadir={DATA}"),
        &format!("--tmpdir={TEMPORARY}"),
        &format!("--socket={}", socket()),
        &format!("--pid-file={SOCKETS}/mariadb.pid"),
        "--skip-networking",
        PACKET,
        "--character-set-server=utf8mb4",
        &format!("--innodb-buffer-pool-size={buffer_pool_mib}M"),
        &format!("--innodb-log-file-size={LOG_FILE}"),
        "--innodb-use-native-aio=OFF",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-innodb-doublewrite",
        "--event-scheduler=OFF",
        "--local-infile=OFF",
        "--symbolic-links=OFF",
        "--default-time-zone=+00:00",
    ];
    argv.map(Into::into).into()
}

fn socket() -> String {
    format!("{SOCKETS}/mariadb.sock")
}

/// Without a password, but with the rights that it has.
fn app_user(row: &DatabaseRow) -> String {
    let (user, pattern) = (text(&row.user), identifier(&pattern(&row.database_name)));
    format!("CREATE USER {user}@'%';\nGRANT ALL PRIVILEGES ON {pattern}.* TO {user}@'%';\n")
}

/// The tables, each with what asks for the rows in it that a dump has: of those that only show the rows of others, there are none.
async fn questions(scratch: &Scratch<'_>, schema: &str) -> Result<Vec<(String, String)>, Failed> {
    let sql = format!(
        "SELECT HEX(CONVERT(TABLE_NAME USING utf8mb4)), ENGINE IN ('MRG_MyISAM', 'FEDERATED') \
         FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED');\n",
        text(schema)
    );
    let answer = query(scratch, sql).await?;
    let question = |line: &str| {
        let (digits, only_shows) = line.split_once('\t')?;
        let name = String::from_utf8(HEXUPPER.decode(digits.as_bytes()).ok()?).ok()?;
        let question = match only_shows {
            "1" => "SELECT 0;\n".to_owned(),
            _ => format!(
                "SELECT COUNT(*) FROM {}.{};\n",
                identifier(schema),
                identifier(&name)
            ),
        };
        Some((name, question))
    };
    let questions: Option<Vec<_>> = answer.lines().map(question).collect();
    questions.ok_or_else(|| Failed::not_understood("the names of tables"))
}

async fn query(scratch: &Scratch<'_>, sql: String) -> Result<String, Failed> {
    let mut answer = Answer::default();
    let arguments = ["--batch", "--skip-column-names", CHARACTERS];
    tool(scratch, "mariadb", ROOT, &arguments)
        .run(Input::Text(sql), &mut answer)
        .await?;
    Ok(answer.text())
}

fn tool<'a>(scratch: &Scratch<'a>, name: &str, user: &str, arguments: &[&str]) -> Tool<'a> {
    let mut argv = vec![
        format!("/usr/bin/{name}"),
        "--no-defaults".into(),
        format!("--socket={}", socket()),
        format!("--user={user}"),
    ];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    scratch.tool(argv)
}

//! `mainstay logs`.

use std::{io::Write, process::ExitCode};

use futures_util::StreamExt;
use mainstay_api::JobInvocation;

use crate::{
    args::{LogKind, Logs},
    client::{Client, escaped},
    error::CliError,
    output::Output,
};

pub(super) async fn logs(client: &Client, output: &Output, wish: Logs) -> Result<ExitCode, CliError> {
    let app = client.app(&wish.app).await?;
    let reading = Reading {
        follow: wish.follow,
        tail: wish.tail,
        no_prefix: wish.no_prefix,
    };
    if let Some(run) = &wish.job_invocation {
        let run = client.invocation(&app.id, run).await?;
        return of_run(client, output, &app.id, &run, reading).await;
    }
    show(client, output, &app.id, &path(&wish, reading), reading).await
}

/// How much of a log is read, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) follow: bool,
    pub(super) tail: Option<u32>,
    pub(super) no_prefix: bool,
}

/// The log of one run of a job.
pub(super) async fn of_run(
    client: &Client,
    output: &Output,
    app: &str,
    run: &JobInvocation,
    reading: Reading,
) -> Result<ExitCode, CliError> {
    let path = format!(
        "/jobs/{}/invocations/{}/logs?type=JOB_INVOCATION{}",
        escaped(&run.job_name),
        escaped(&run.id),
        reading.query()
    );
    show(client, output, app, &path, reading).await
}

/// The log of the server of an app's database.
pub(super) async fn of_database(
    client: &Client,
    output: &Output,
    app: &str,
    name: &str,
    reading: Reading,
) -> Result<ExitCode, CliError> {
    let path = format!("/components/{}/logs?type=RUN{}", escaped(name), reading.query());
    show(client, output, app, &path, reading).await
}

async fn show(
    client: &Client,
    output: &Output,
    app: &str,
    path: &str,
    reading: Reading,
) -> Result<ExitCode, CliError> {
    let links = client.log_links(app, path).await?;
    let link = if reading.follow {
        Some(&links.live_url)
    } else {
        links.historic_urls.first()
    };
    let Some(link) = link.filter(|link| !link.is_empty()) else {
        return Err(CliError::Usage("there is no such log".into()));
    };
    if output.is_json() {
        output.data(&links, String::new);
        return Ok(ExitCode::SUCCESS);
    }
    let mut body = client.open(link).await?.bytes_stream();
    let mut stdout = std::io::stdout();
    let mut prefixes = reading.no_prefix.then(Prefixes::default);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| CliError::NotUnderstood {
            message: error.to_string(),
        })?;
        let chunk = match &mut prefixes {
            Some(prefixes) => prefixes.left_out(&chunk),
            None => chunk.to_vec(),
        };
        // A reader that went away (`| head`) wants no more.
        if stdout.write_all(&chunk).and_then(|()| stdout.flush()).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(wish: &Logs, reading: Reading) -> String {
    let mut path = String::new();
    if let Some(deployment) = &wish.deployment {
        path += &format!("/deployments/{}", escaped(deployment));
    }
    if let Some(component) = &wish.component {
        path += &format!("/components/{}", escaped(component));
    }
    let kind = match wish.r#type {
        LogKind::Build => "BUILD",
        LogKind::Deploy => "DEPLOY",
        LogKind::Run => "RUN",
        LogKind::RunRestarted => "RUN_RESTARTED",
    };
    format!("{path}/logs?type={kind}{}", reading.query())
}

impl Reading {
    fn query(self) -> String {
        let tail = self
            .tail
            .map_or(String::new(), |lines| format!("&tail_lines={lines}"));
        format!("&follow={}{tail}", self.follow)
    }
}

/// Takes component and time, the first two words, off each line.
#[derive(Debug, Default)]
struct Prefixes {
    /// Blanks of the line so far.
    blanks: u8,
}

impl Prefixes {
    /// What is left of a piece of the log; pieces end anywhere.
    fn left_out(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut left = Vec::with_capacity(piece.len());
        for byte in piece {
            if *byte == b'\n' {
                self.blanks = 0;
                left.push(b'\n');
            } else if self.blanks >= 2 {
                left.push(*byte);
            } else if *byte == b' ' {
                self.blanks += 1;
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_first_two_words_wherever_pieces_end() {
        let log =
            b"web 2026-11-26T05:10:00Z hello  world\nweb 2026-11-26T05:10:01Z \nweb 2026-11-26T05:10:02Z x";
        for cut in 0..log.len() {
            let mut prefixes = Prefixes::default();
            let mut left = prefixes.left_out(&log[..cut]);
            left.extend(prefixes.left_out(&log[cut..]));
            assert_eq!(left, b"hello  world\n\nx", "cut at {cut}");
        }
    }
}

//! Clients that were written for the original, on a platform of their own.
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

use std::{path::Path, time::Duration};

use mainstay_e2e::{Answer, Platform, Programs, PythonClients, python_hello};

const LIVES_WITHIN: Duration = Duration::from_mins(15);
const CRAWLS_WITHIN: Duration = Duration::from_mins(90);

#[test]
fn pydo_runs_the_life_of_an_app() {
    let Some(programs) = Programs::find() else { return };
    let Some(clients) = PythonClients::find() else {
        return;
    };
    let platform = Platform::start_over_tls(programs);
    let source = python_hello("life", "hello")
        .with(
            "Procfile",
            "web: echo $$ > /tmp/server.pid; exec python3 server.py\n",
        )
        .in_git();
    let authority = platform.authority().display().to_string();
    let life = run(
        &clients,
        "lifecycle.py",
        (&platform, source.path()),
        &["--ca", &authority],
        LIVES_WITHIN,
    );
    eprintln!("{}{}", life.stdout, life.stderr);
    assert!(
        life.is_success(),
        "pydo met something that it does not expect; the server's log:\n{}",
        platform.server_log()
    );
}

/// Runs a script of ours against the platform; apps come from the repository.
fn run(
    clients: &PythonClients,
    script: &str,
    (platform, repository): (&Platform, &Path),
    more: &[&str],
    within: Duration,
) -> Answer {
    let (token, contract) = (platform.token_file(), PythonClients::contract());
    let source = format!("file://{}", repository.display());
    let common = [
        "--endpoint",
        &platform.api_url(),
        "--token-file",
        &token.display().to_string(),
        "--contract",
        &contract.display().to_string(),
        "--source",
        &source,
    ];
    clients.run_script(script, &[&common, more].concat(), within)
}

/// Generated requests for each operation and mode in a round: some two thousand in all, in about a minute.
const EXAMPLES: &str = "25";
const CRAWLERS: &str = "2";
/// Each app that is accepted is worked on.
const FEW_APPS: &str = "[limits]\napps = 6\n";

/// `MAINSTAY_CRAWL_REQUESTS` asks for more rounds, until that many were sent.
#[test]
fn generated_requests_are_answered_as_described() {
    let Some(programs) = Programs::find() else { return };
    let Some(clients) = PythonClients::find() else {
        return;
    };
    let platform = Platform::start_with(programs, FEW_APPS);
    let source = python_hello("crawled", "hello").in_git();
    let requests = std::env::var("MAINSTAY_CRAWL_REQUESTS").unwrap_or_else(|_| "0".into());
    let crawl = run(
        &clients,
        "crawl.py",
        (&platform, source.path()),
        &[
            "--examples",
            EXAMPLES,
            "--workers",
            CRAWLERS,
            "--requests",
            &requests,
        ],
        CRAWLS_WITHIN,
    );
    eprintln!("{}{}", crawl.stdout, crawl.stderr);
    assert!(
        crawl.is_success(),
        "answers that are not as described; the server's log:\n{}",
        platform.errors().join("\n")
    );
    assert_eq!(
        platform.errors(),
        Vec::<String>::new(),
        "no fault of the platform's own"
    );
}

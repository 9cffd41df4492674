//! Clients that were written for the original, on a platform of their own.
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

use std::time::Duration;

use mainstay_e2e::{Platform, Programs, PythonClients, python_hello};

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
    let source = format!("file://{}", source.path().display());
    let life = clients.run_script(
        "lifecycle.py",
        &[
            "--endpoint",
            &platform.api_url(),
            "--token-file",
            &platform.token_file().display().to_string(),
            "--contract",
            &PythonClients::contract().display().to_string(),
            "--ca",
            &platform.authority().display().to_string(),
            "--source",
            &source,
        ],
        LIVES_WITHIN,
    );
    eprintln!("{}{}", life.stdout, life.stderr);
    assert!(
        life.is_success(),
        "pydo met something that it does not expect; the server's log:\n{}",
        platform.server_log()
    );
}

/// Generated requests for each operation and mode; with the default, some thousands in all, in about a minute.
const EXAMPLES: &str = "25";
/// Each app that is accepted is worked on.
const FEW_APPS: &str = "[limits]\napps = 6\n";

/// `MAINSTAY_CRAWL_EXAMPLES=200` sends more than 20,000 requests.
#[test]
fn generated_requests_are_answered_as_described() {
    let Some(programs) = Programs::find() else { return };
    let Some(clients) = PythonClients::find() else {
        return;
    };
    let platform = Platform::start_with(programs, FEW_APPS);
    let source = python_hello("crawled", "hello").in_git();
    let source = format!("file://{}", source.path().display());
    let examples = std::env::var("MAINSTAY_CRAWL_EXAMPLES").unwrap_or_else(|_| EXAMPLES.into());
    let crawl = clients.run_script(
        "crawl.py",
        &[
            "--endpoint",
            &platform.api_url(),
            "--token-file",
            &platform.token_file().display().to_string(),
            "--contract",
            &PythonClients::contract().display().to_string(),
            "--source",
            &source,
            "--examples",
            &examples,
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

//! Clients that were written for the original, on a platform of their own.
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

use std::time::Duration;

use mainstay_e2e::{Platform, Programs, PythonClients, python_hello};

const LIVES_WITHIN: Duration = Duration::from_mins(15);

#[test]
fn pydo_runs_the_life_of_an_app() {
    let Some(programs) = Programs::find() else { return };
    let Some(clients) = PythonClients::find() else {
        return;
    };
    let platform = Platform::start(programs);
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

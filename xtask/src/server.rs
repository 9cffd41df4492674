//! `./x up` and `./x down`: Mainstay on this machine, with an example in it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    command::{root, run, run_quietly, target},
    packages, programs,
    step::step,
};

const DATA: &str = "/var/lib/mainstay";
const API: ([u8; 4], u16) = ([127, 0, 0, 1], 4400);
const ROUTER_PORT: u16 = 8080;
const EXAMPLE: &str = "hello";
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn up() -> Result<(), String> {
    let started = Instant::now();
    packages::require_root()?;
    packages::install_to_run()?;
    let programs = programs::build_for_use()?;
    let programs = step("install the programs", || install(&programs))?;
    step("start the server", || start(&programs))?;
    let token =
        fs::read_to_string(token_file()).map_err(|error| format!("could not read the API token: {error}"))?;
    step(
        &format!("deploy examples/{EXAMPLE} (the first build also makes the base image)"),
        || deploy(&programs),
    )?;
    let url = format!("http://{EXAMPLE}.localhost:{ROUTER_PORT}");
    step(&format!("ask {url}"), ask)?;
    println!("\nMainstay is up ({:.0} s).", started.elapsed().as_secs_f64());
    println!("  example    {url}");
    println!("  API        http://{}", SocketAddr::from(API));
    println!("  token      {}", token.trim());
    println!(
        "  programs   {} (try: {0}/mainstay apps list)",
        programs.display()
    );
    Ok(())
}

pub(crate) fn down(purge: bool) -> Result<(), String> {
    packages::require_root()?;
    let server = programs_directory().join("mainstay-server");
    if !server.exists() {
        println!("✔ nothing is installed");
        return Ok(());
    }
    step("stop the server", stop)?;
    step("stop the apps and take down what was made for them", || {
        run(Command::new(&server).arg("down"))
    })?;
    if purge {
        step("delete all data", || {
            fs::remove_dir_all(DATA).map_err(|error| format!("could not delete {DATA}: {error}"))
        })?;
    }
    Ok(())
}

fn programs_directory() -> PathBuf {
    Path::new(DATA).join("programs")
}

fn token_file() -> PathBuf {
    Path::new(DATA).join("token")
}

fn pid_file() -> PathBuf {
    Path::new(DATA).join("server.pid")
}

/// Copies the programs out of the checkout; running ones keep their old files.
fn install(built: &Path) -> Result<PathBuf, String> {
    let directory = programs_directory();
    fs::create_dir_all(&directory)
        .map_err(|error| format!("could not create {}: {error}", directory.display()))?;
    for name in [
        "mainstay",
        "mainstay-server",
        "mainstay-router",
        "mainstay-shim",
        "mainstay-init",
    ] {
        let from = if name == "mainstay-init" {
            target().join("release").join(name)
        } else {
            built.join(name)
        };
        let draft = directory.join(format!("{name}.new"));
        fs::copy(&from, &draft).map_err(|error| format!("could not install {name}: {error}"))?;
        fs::rename(&draft, directory.join(name))
            .map_err(|error| format!("could not install {name}: {error}"))?;
    }
    Ok(directory)
}

/// A server of an earlier `up` is replaced; its apps go on meanwhile.
fn start(programs: &Path) -> Result<(), String> {
    stop()?;
    let log = Path::new(DATA).join("server.log");
    let open = || fs::File::options().create(true).append(true).open(&log);
    let (output, errors) = (open(), open());
    let (Ok(output), Ok(errors)) = (output, errors) else {
        return Err(format!("could not open {}", log.display()));
    };
    let mut command = Command::new(programs.join("mainstay-server"));
    command
        .arg("run")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0);
    let child = command
        .spawn()
        .map_err(|error| format!("could not start the server: {error}"))?;
    fs::write(pid_file(), child.id().to_string())
        .map_err(|error| format!("could not note the server's id: {error}"))?;
    wait_until(ANSWERS_WITHIN, || health().is_some())
        .map_err(|()| format!("the server does not answer; see {}", log.display()))
}

fn stop() -> Result<(), String> {
    let Some(pid) = running_server() else {
        return Ok(());
    };
    run_quietly(Command::new("kill").args(["-TERM", &pid.to_string()]))?;
    wait_until(ENDS_WITHIN, || running_server().is_none())
        .map_err(|()| format!("the server ({pid}) does not end"))
}

/// The server's process, if the one we noted is still ours.
fn running_server() -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file()).ok()?.trim().parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ours = status.contains("(mainstay-server") && !status.contains(") Z ");
    ours.then_some(pid)
}

fn deploy(programs: &Path) -> Result<(), String> {
    let mut command = Command::new(programs.join("mainstay"));
    command.arg("deploy").arg(root().join("examples").join(EXAMPLE));
    // Whatever other servers the user knows.
    command.env("MAINSTAY_URL", format!("http://{}", SocketAddr::from(API)));
    command.env("MAINSTAY_TOKEN_FILE", token_file());
    command
        .env_remove("MAINSTAY_TOKEN")
        .env_remove("MAINSTAY_CONTEXT");
    run(&mut command)
}

fn ask() -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], ROUTER_PORT));
    let host = format!("{EXAMPLE}.localhost:{ROUTER_PORT}");
    let answer = get(address, &host, "/").ok_or("no answer")?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 200 ") {
        Ok(())
    } else {
        Err(format!("the example answered {status:?}"))
    }
}

fn health() -> Option<()> {
    let answer = get(SocketAddr::from(API), "localhost", "/v2/mainstay/health")?;
    answer.lines().next()?.contains(" 200 ").then_some(())
}

fn get(address: SocketAddr, host: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn wait_until(within: Duration, mut condition: impl FnMut() -> bool) -> Result<(), ()> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if condition() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(())
}
